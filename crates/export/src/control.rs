//! The control network: a ResNet-18 on a view of the image.

use dyntta_model::{Error, Normalisation};

use crate::array::Array;
use crate::graph::{Graph, Setting, Value};
use crate::params::Params;
use crate::tensors::Images;

const STEM: usize = 64;
const LAST: usize = 512;

/// The raw magnitudes and the blend weights of `slots` augmentations, `[n, slots]` each, from images in `0..=1`; without a `view`
/// the network looks at the image itself.
pub(crate) fn decide(
    images: &Images<'_>,
    params: &Params<'_>,
    x: &Value,
    view: Option<[usize; 2]>,
    slots: usize,
) -> Result<[Value; 2], Error> {
    let g = images.g;
    let seen = match view {
        Some(size) => look(images, x, size),
        None => x.clone(),
    };
    let Normalisation { mean, std, .. } = Normalisation::IMAGENET;
    let scale = std.map(|d| 1.0 / d);
    let shift = [0, 1, 2].map(|c| -mean[c] * scale[c]);
    let by_channel = |values: [f32; 3]| g.constant(Array::f32(&[1, 3, 1, 1], values.to_vec()));
    let seen = g.add(&g.mul(&seen, &by_channel(scale)), &by_channel(shift));

    let net = Net { g, params };
    let relu = |x: &Value| g.op("Relu", &[x], &[]);
    let y = relu(&net.conv(&seen, ["control.conv1", "control.bn1"], [STEM, 3, 7], [2, 3])?);
    let mut y = g.max_pool(&y, [3, 2, 1]);
    let mut input = STEM;
    for stage in 0..4 {
        let width = STEM << stage;
        for i in 0..2 {
            let key = |part: &str| format!("control.layer{}.{i}.{part}", stage + 1);
            let stride = if i == 0 && stage > 0 { 2 } else { 1 };
            let [conv1, bn1, conv2, bn2] = ["conv1", "bn1", "conv2", "bn2"].map(key);
            let inner = relu(&net.conv(&y, [&conv1, &bn1], [width, input, 3], [stride, 1])?);
            let inner = net.conv(&inner, [&conv2, &bn2], [width, width, 3], [1, 1])?;
            let shortcut = if input == width {
                y
            } else {
                let [conv, norm] = ["downsample.conv", "downsample.bn"].map(key);
                net.conv(&y, [&conv, &norm], [width, input, 1], [stride, 0])?
            };
            y = relu(&g.add(&inner, &shortcut));
            input = width;
        }
    }
    let pooled = g.op("Flatten", &[&g.op("GlobalAveragePool", &[&y], &[])], &[("axis", Setting::Int(1))]);
    let out = 2 * slots;
    // A product with the weights the other way round: `Gemm` is one operator more that a runtime has to have.
    let weight = params.get("control.fc.weight", &[out, LAST])?;
    let turned = (0..LAST * out).map(|i| weight[i % out * LAST + i / out]).collect();
    let weight = g.weight("control.fc.weight", &[LAST, out], turned);
    let bias = g.weight("control.fc.bias", &[out], params.get("control.fc.bias", &[out])?.to_vec());
    let y = g.add(&g.matmul(&pooled, &weight), &bias);
    let parts = g.split(&y, &[slots as i64; 2], 1);
    let weights = g.op("Softmax", &[&parts[1]], &[("axis", Setting::Int(1))]);
    Ok([parts[0].clone(), weights])
}

struct Net<'a> {
    g: &'a Graph,
    params: &'a Params<'a>,
}

impl Net<'_> {
    /// A convolution and the batch norm behind it; channels out and in and the side, stride and padding.
    fn conv(
        &self,
        x: &Value,
        [conv, norm]: [&str; 2],
        [output, input, side]: [usize; 3],
        [stride, pad]: [i64; 2],
    ) -> Result<Value, Error> {
        let shape = [output, input, side, side];
        let [weight, bias] = self.params.normalised(conv, norm, shape)?;
        let weight = self.g.weight(&format!("{conv}.weight"), &shape, weight);
        let bias = self.g.weight(&format!("{conv}.bias"), &[output], bias);
        Ok(self.g.conv(&[x, &weight, &bias], [side as i64, stride, pad], 1))
    }
}

/// A view of `[height, width]`: the mean of each cell where it is smaller than the image both ways, else bilinear with aligned
/// corners. Both rules are one matrix an axis, so that no branch is needed.
fn look(images: &Images<'_>, x: &Value, view: [usize; 2]) -> Value {
    let g = images.g;
    let known = |v: &Value| v.known().and_then(|a| a.ints().and_then(|i| i.first().copied()));
    if [known(&images.h), known(&images.w)] == view.map(|side| Some(side as i64)) {
        return x.clone();
    }
    let [vh, vw] = view.map(|side| g.int(side as i64));
    let shrinks = g.and(&g.at_least(&images.h, &vh), &g.at_least(&images.w, &vw));
    let rows = g.matmul(&matrix(g, &images.h, &shrinks, view[0]), x);
    g.matmul(&rows, &g.transpose(&matrix(g, &images.w, &shrinks, view[1]), &[1, 0]))
}

/// `[view, size]`: what each place of the view takes of each pixel.
fn matrix(g: &Graph, size: &Value, shrinks: &Value, view: usize) -> Value {
    let pixel = g.unsqueeze(&g.range(size), &[0]);
    let place = g.unsqueeze(&g.range(&g.int(view as i64)), &[1]);
    let mean = cells(g, size, view);
    let one = g.number(1.0);
    let last = g.sub(&g.float(size), &one);
    let step = g.div(&last, &g.number((view.max(2) - 1) as f32));
    let at = g.mul(&g.float(&place), &step);
    // The hat about the place: 1 there, 0 from the next pixels on.
    let apart = g.op("Abs", &[&g.sub(&g.float(&pixel), &at)], &[]);
    let hat = g.clip(&g.sub(&one, &apart), 0.0, 1.0);
    g.choose(shrinks, &mean, &hat)
}

/// `[count, size]`: the shares of pixels in the mean of each of `count` cells; cell i covers the pixels
/// `floor(i size / count) .. ceil((i + 1) size / count)`.
pub(crate) fn cells(g: &Graph, size: &Value, count: usize) -> Value {
    let pixel = g.unsqueeze(&g.range(size), &[0]);
    let (all, one) = (g.int(count as i64), g.int(1));
    let cell = g.unsqueeze(&g.range(&all), &[1]);
    let start = g.div(&g.mul(&cell, size), &all);
    let end = g.mul(&g.add(&cell, &one), size);
    let end = g.div(&g.add(&end, &g.int(count as i64 - 1)), &all);
    let inside = g.and(&g.at_least(&pixel, &start), &g.less(&pixel, &end));
    g.div(&g.float(&inside), &g.float(&g.sub(&end, &start)))
}
