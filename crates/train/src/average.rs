//! An exponential moving average of a model's weights (Polyak & Juditsky 1992; Tarvainen & Valpola 2017,
//! arXiv 1703.01780), batch norm's running statistics included.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Moves `average` towards `model` by `1 - decay`. In the first steps less of the start is kept: `(1 + step)/(10 + step)`
/// at most, `step` counted from 0.
pub(crate) fn update<M: Module>(average: M, model: &M, decay: f64, step: usize) -> M {
    /// The model's tensors by their parameters' ids, which its average shares.
    struct Values(GradientsParams);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.register(param.id, param.val().without_autodiff());
        }
    }
    struct Mix(GradientsParams, f64);
    impl ModuleMapper for Mix {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let new = self.0.remove::<D>(param.id).expect("an average has its model's parameters");
            let kept = self.1;
            param.map(|old| old.mul_scalar(kept) + new.mul_scalar(1.0 - kept))
        }
    }
    let mut values = Values(GradientsParams::new());
    model.visit(&mut values);
    let kept = decay.min((1 + step) as f64 / (10 + step) as f64);
    average.map(&mut Mix(values.0, kept))
}
