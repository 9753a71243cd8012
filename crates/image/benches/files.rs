//! Reading a photograph of ImageNet's usual size for evaluation.

use criterion::{Criterion, criterion_group, criterion_main};
use dyntta_image::{
    Filter, Rgb8, Stream, covering_size, decode, encode_jpeg, encode_png, resize, resize_centre_crop,
};

/// 500x375 pixels, smooth with some noise.
fn photo() -> Rgb8 {
    let mut stream = Stream::new(1, &["photo"]);
    let mut image = Rgb8::black(500, 375).unwrap();
    for (i, v) in image.data_mut().iter_mut().enumerate() {
        let (x, y) = ((i / 3 % 500) as f64, (i / 1500) as f64);
        *v = (128.0 + 60.0 * (x / 31.0).sin() + 40.0 * (y / 23.0).cos() + 6.0 * stream.normal()) as u8;
    }
    image
}

fn files(c: &mut Criterion) {
    let photo = photo();
    let (jpeg, png) = (encode_jpeg(&photo, 90).unwrap(), encode_png(&photo).unwrap());
    c.bench_function("decode jpeg 500x375", |b| b.iter(|| decode(&jpeg, "photo").unwrap()));
    c.bench_function("decode png 500x375", |b| b.iter(|| decode(&png, "photo").unwrap()));
    c.bench_function("encode jpeg 500x375", |b| b.iter(|| encode_jpeg(&photo, 90).unwrap()));
    c.bench_function("encode png 500x375", |b| b.iter(|| encode_png(&photo).unwrap()));
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        c.bench_function(&format!("resize 500x375 to 256x256 {filter:?}"), |b| {
            b.iter(|| resize(&photo, 256, 256, filter).unwrap())
        });
        c.bench_function(&format!("shorter side 256, centre 224 {filter:?}"), |b| {
            b.iter(|| {
                resize_centre_crop(&photo, covering_size((500, 375), (256, 256)), (224, 224), filter).unwrap()
            })
        });
    }
}

criterion_group!(benches, files);
criterion_main!(benches);
