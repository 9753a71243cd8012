//! What stands between an image and the classifier's network.

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_image::{ChannelOrder, ValueRange};
use dyntta_nn::{Normalisation, Normalise};

const MEAN: [f32; 3] = [10.0, -20.0, 30.0];
const STD: [f32; 3] = [2.0, 4.0, 8.0];

/// By its definition, value after value.
fn plain(x: &[f32], n: &Normalisation) -> Vec<f32> {
    let (scale, shift) = n.range.from_unit();
    let order = if n.channels == ChannelOrder::Rgb { [0, 1, 2] } else { [2, 1, 0] };
    let pixel = |p: &[f32]| order.map(|c| (p[c] * scale + shift - n.mean[c]) / n.std[c]);
    x.chunks_exact(3).flat_map(pixel).collect()
}

fn values(x: Tensor<4>) -> Vec<f32> {
    x.into_data().try_to_vec().unwrap()
}

#[test]
fn every_range_and_order_is_what_it_says_and_passes_gradients() {
    let device = Device::flex().autodiff();
    let pixels: Vec<f32> = (0..2 * 3 * 3).map(|i| i as f32 / 17.0).collect();
    for channels in ChannelOrder::ALL {
        for range in ValueRange::ALL {
            let n = Normalisation { mean: MEAN, std: STD, channels, range };
            let data = TensorData::new(pixels.clone(), [1, 2, 3, 3]);
            let x = Tensor::<4>::from_data(data, &device).require_grad();
            let y = n.apply(x.clone());
            for (y, expected) in values(y.clone()).iter().zip(plain(&pixels, &n)) {
                assert!((y - expected).abs() < 1e-4, "{n:?}: {y} {expected}");
            }
            // Output k is weighed by k + 1, so that the gradient tells the channels apart.
            let weights = Tensor::<4>::from_data([[[[1.0f32, 2.0, 3.0]; 3]; 2]], &device);
            let gradients = (y * weights).sum().backward();
            let got: Vec<f32> = x.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
            let (scale, _) = range.from_unit();
            let place = if channels == ChannelOrder::Rgb { [1.0, 2.0, 3.0] } else { [3.0, 2.0, 1.0] };
            for (i, got) in got.iter().enumerate() {
                let expected = place[i % 3] * scale / STD[i % 3];
                assert!((got - expected).abs() < 1e-4 * expected, "{n:?}, value {i}: {got} {expected}");
            }
        }
    }
}

#[test]
fn a_config_of_before_means_rgb_in_the_unit_range() {
    let text = r#"{"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}"#;
    let n: Normalisation = serde_json::from_str(text).unwrap();
    assert_eq!(n, Normalisation::IMAGENET);
    assert_eq!(serde_json::to_string(&n).unwrap(), text);
}
