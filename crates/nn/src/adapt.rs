//! What of a network adapts at test time: its batch normalisations.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Whether a network has a batch normalisation, so that [`Mode::Adapt`](crate::Mode::Adapt) makes a difference.
pub fn has_batch_norm<M: Module>(network: &M) -> bool {
    #[derive(Default)]
    struct Search(bool);
    impl ModuleVisitor for Search {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0 |= is_affine(name, container);
        }
    }
    let mut search = Search::default();
    network.visit(&mut search);
    search.0
}

/// The network on its device with autodiff, where the scale and shift of every batch normalisation ask for gradients, and
/// nothing else does. The network given is left as it is.
pub fn learn_affine<M: Module>(network: &M) -> M {
    #[derive(Default)]
    struct Choose(bool);
    impl ModuleMapper for Choose {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0 = is_affine(name, container);
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.set_require_grad(self.0)
        }
    }
    // `train` gives running statistics a place of their own: a mere copy would share it.
    network.clone().train().map(&mut Choose::default())
}

/// Whether this field is the scale or the shift of a [`BatchNorm`](crate::layers::BatchNorm).
fn is_affine(name: &str, container: &str) -> bool {
    container == "Struct:BatchNorm" && matches!(name, "weight" | "bias")
}
