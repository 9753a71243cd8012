//! Reproducible initial values: every parameter draws from a stream named by its path in the network.

use burn::module::{Param, ParamId, RunningState};
use burn::tensor::{Device, Tensor, TensorData};
use dyntta_image::Stream;

/// What a parameter starts as.
#[derive(Clone, Copy, Debug)]
pub enum Fill {
    /// This value.
    Constant(f32),
    /// Uniform in `-bound..bound`.
    Uniform(f64),
    /// Normal with this standard deviation.
    Normal(f64),
}

/// Where in a network a parameter is made, on which device, and from which seed.
///
/// Initial values depend on the seed and the parameter's path alone, so a network comes out the same whatever was
/// built before it. Parameter ids are a hash of the path: that is how optimiser state finds its parameter again when
/// a run is resumed.
#[derive(Clone, Debug)]
pub struct Init {
    /// None where the values don't matter.
    seed: Option<u64>,
    path: String,
    device: Device,
}

impl Init {
    /// The root of a network called `name`. On a device with autodiff the parameters ask for gradients.
    pub fn new(name: &str, seed: u64, device: &Device) -> Self {
        Self { seed: Some(seed), path: name.to_owned(), device: device.clone() }
    }

    /// The root of a network that weights are loaded into: nothing is drawn, every parameter is 0.
    pub fn blank(name: &str, device: &Device) -> Self {
        Self { seed: None, path: name.to_owned(), device: device.clone() }
    }

    /// The place of a child module or parameter.
    pub fn child(&self, name: impl std::fmt::Display) -> Self {
        Self { path: format!("{}.{name}", self.path), ..self.clone() }
    }

    /// The device that parameters are made on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn id(&self) -> ParamId {
        ParamId::from(Stream::new(0, &["parameter id", &self.path]).next_u64())
    }

    fn tensor<const D: usize>(&self, shape: [usize; D], values: Vec<f32>) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn param<const D: usize>(&self, shape: [usize; D], values: Vec<f32>) -> Param<Tensor<D>> {
        let tensor = self.tensor(shape, values);
        let tensor = if self.device.is_autodiff() { tensor.require_grad() } else { tensor };
        Param::initialized(self.id(), tensor)
    }

    fn drawn<const D: usize>(
        &self,
        shape: [usize; D],
        mut draw: impl FnMut(&mut Stream) -> f64,
    ) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        let values = match self.seed {
            Some(seed) => {
                let mut stream = Stream::new(seed, &["init", &self.path]);
                (0..count).map(|_| draw(&mut stream) as f32).collect()
            }
            None => vec![0.0; count],
        };
        self.param(shape, values)
    }

    /// A parameter filled with `value`.
    pub fn constant<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.param(shape, vec![value; shape.iter().product()])
    }

    /// A parameter uniform in `-bound..bound`.
    pub fn uniform<const D: usize>(&self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        self.drawn(shape, |stream| stream.range(-bound, bound))
    }

    /// A parameter of normal deviates with standard deviation `sd`.
    pub fn normal<const D: usize>(&self, shape: [usize; D], sd: f64) -> Param<Tensor<D>> {
        self.drawn(shape, |stream| stream.normal() * sd)
    }

    /// A parameter that starts as `fill` says.
    pub fn filled<const D: usize>(&self, shape: [usize; D], fill: Fill) -> Param<Tensor<D>> {
        match fill {
            Fill::Constant(value) => self.constant(shape, value),
            Fill::Uniform(bound) => self.uniform(shape, bound),
            Fill::Normal(sd) => self.normal(shape, sd),
        }
    }

    /// A buffer that training updates without gradients, filled with `value`.
    pub fn running<const D: usize>(&self, shape: [usize; D], value: f32) -> RunningState<Tensor<D>> {
        // Running statistics are never differentiated: they live on the plain device.
        let plain = Self { device: self.device.clone().without_autodiff(), ..self.clone() };
        RunningState::with_id(plain.id(), plain.tensor(shape, vec![value; shape.iter().product()]))
    }
}
