//! Updates of a parameter by the native kernels.

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use dyntta_kernels::optimizer::{AdamStep, SgdStep, adam, sgd};

/// The parameter, mean and mean square after one step, from those before it and the gradient.
///
/// # Panics
/// If the tensors are not plain ones on the CPU backend, or differ in shape.
pub fn adam_step<const D: usize>(
    step: AdamStep,
    grad: Tensor<D>,
    [p, m, v]: [Tensor<D>; 3],
) -> [Tensor<D>; 3] {
    let (p, m, v) = Dispatch::native_adam(
        grad.into_dispatch(),
        p.into_dispatch(),
        m.into_dispatch(),
        v.into_dispatch(),
        step,
    );
    [p, m, v].map(Tensor::from_dispatch)
}

/// The parameter and its velocity after one step, from those before it and the gradient.
///
/// # Panics
/// As [`adam_step`].
pub fn sgd_step<const D: usize>(step: SgdStep, grad: Tensor<D>, [p, v]: [Tensor<D>; 2]) -> [Tensor<D>; 2] {
    let (p, v) = Dispatch::native_sgd(grad.into_dispatch(), p.into_dispatch(), v.into_dispatch(), step);
    [p, v].map(Tensor::from_dispatch)
}

#[backend_extension(Flex)]
trait OptimizerOps: Backend {
    fn native_sgd(
        grad: FloatTensor<Self>,
        p: FloatTensor<Self>,
        v: FloatTensor<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn native_adam(
        grad: FloatTensor<Self>,
        p: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl OptimizerOps for Flex {
    fn native_sgd(grad: FlexTensor, p: FlexTensor, v: FlexTensor, step: SgdStep) -> (FlexTensor, FlexTensor) {
        let grad = grad.to_contiguous();
        let [mut p, mut v] = [p, v].map(whole);
        let grad = grad.as_slice::<f32>().expect("contiguous f32, made so before");
        sgd(&step, grad, p.storage_mut(), v.storage_mut());
        (p, v)
    }

    fn native_adam(
        grad: FlexTensor,
        p: FlexTensor,
        m: FlexTensor,
        v: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let grad = grad.to_contiguous();
        let [mut p, mut m, mut v] = [p, m, v].map(whole);
        let grad = grad.as_slice::<f32>().expect("contiguous f32, made so before");
        // Written in place where nobody else holds the tensor, which is the rule in training.
        adam(&step, grad, p.storage_mut(), m.storage_mut(), v.storage_mut());
        (p, m, v)
    }
}

/// The tensor in storage of its own size, so that the storage is the tensor.
fn whole(tensor: FlexTensor) -> FlexTensor {
    let tensor = tensor.to_contiguous();
    let n = tensor.layout().num_elements();
    if tensor.storage::<f32>().len() == n {
        return tensor;
    }
    let values = tensor.as_slice::<f32>().expect("contiguous f32, made so before").to_vec();
    FlexTensor::from_data(burn::tensor::TensorData::new(values, tensor.layout().shape().clone()))
}
