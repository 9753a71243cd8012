//! Layout copies, element by element.

use dyntta_kernels::layout::{nchw_to_nhwc, nhwc_to_nchw};
use dyntta_simd::{Level, with_level};

mod common;
use common::Random;

#[test]
fn there_and_back() {
    for &level in Level::available() {
        for (n, c, h, w) in
            [(1, 1, 1, 1), (2, 3, 5, 7), (3, 16, 4, 4), (1, 37, 19, 31), (2, 600, 1, 3), (0, 3, 2, 2)]
        {
            with_level(level, || {
                let planes = Random::new(1).normal(n * c * h * w);
                let (mut mixed, mut back) = (vec![0.0; planes.len()], vec![0.0; planes.len()]);
                nchw_to_nhwc(&planes, n, c, h, w, &mut mixed);
                for i in 0..planes.len() {
                    let (image, ch, pixel) = (i / (c * h * w), i / (h * w) % c, i % (h * w));
                    assert_eq!(planes[i], mixed[(image * h * w + pixel) * c + ch]);
                }
                nhwc_to_nchw(&mixed, n, c, h, w, &mut back);
                assert_eq!(planes, back);
            });
        }
    }
}
