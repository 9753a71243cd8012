//! Float buffers that the passes of a network hand on to one another.
//!
//! Every training step asks for the same large buffers again. Memory fresh from the system costs a page fault and a
//! clearing every four kilobytes, which is as long as many a kernel takes to fill it; so buffers are kept when their
//! tensor is dropped and lent out again, as they are.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use burn::backend::flex::FlexTensor;
use burn::tensor::{Bytes, DType, TensorData};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty};

/// Floats of a cache line.
const LINE: usize = 16;
/// Shorter buffers come from the allocator, which keeps those itself.
const SMALL: usize = 8 << 10;

/// A run of floats that starts on a cache line.
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<f32>,
    first: usize,
    len: usize,
    pooled: bool,
}

impl Buffer {
    /// `len` floats: whatever is in them, for a kernel that writes them all.
    pub fn stale(len: usize) -> Self {
        let pooled = len >= SMALL;
        let memory = if pooled { pool().lend(len + LINE) } else { vec![0.0; len + LINE] };
        let first = memory.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { memory, first, len, pooled }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::stale(len);
        buffer.fill(0.0);
        buffer
    }

    /// `len` bytes: whatever is in them.
    pub(crate) fn bytes(len: usize) -> Bytes {
        let buffer = Self::stale(len.div_ceil(size_of::<f32>()));
        // SAFETY: the controller's memory begins with the buffer's floats, which are initialised and no shorter.
        unsafe { Bytes::from_controller(Box::new(buffer), len) }
    }

    /// The tensor of this shape that it holds.
    pub(crate) fn into_tensor(self, shape: &[usize]) -> FlexTensor {
        let bytes = self.len * size_of::<f32>();
        // SAFETY: the controller's memory begins with the buffer's floats, which are initialised.
        let bytes = unsafe { Bytes::from_controller(Box::new(self), bytes) };
        FlexTensor::from_data(TensorData::from_bytes(bytes, shape.to_vec(), DType::F32))
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self { len: values.len(), first: 0, memory: values, pooled: false }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.first..self.first + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.first..self.first + self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.pooled {
            pool().take_back(std::mem::take(&mut self.memory));
        }
    }
}

impl AllocationController for Buffer {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let floats: &mut [f32] = self;
        // SAFETY: floats are plain bytes, and the caller promises to write initialised ones.
        Ok(unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), size_of_val(floats)) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let floats: &[f32] = self;
        // SAFETY: floats are plain bytes.
        Ok(unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), size_of_val(floats)) })
    }
}

/// The buffers at rest, the oldest first, and how many floats are lent out.
///
/// At rest and lent out, there are never more floats than were once lent out at the same time, but for a thirty-second: what
/// does not fit is given back to the system, the oldest first.
struct Pool {
    resting: VecDeque<Vec<f32>>,
    at_rest: usize,
    lent: usize,
    most: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { resting: VecDeque::new(), at_rest: 0, lent: 0, most: 0 });

fn pool() -> std::sync::MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A buffer of `len` floats or up to half as many more: the best fit among those at rest, or a new one.
    fn lend(&mut self, len: usize) -> Vec<f32> {
        let best = (0..self.resting.len())
            .filter(|&i| (len..=len + len / 2).contains(&self.resting[i].len()))
            // Among equals the one given back last: it may still be in the cache.
            .min_by_key(|&i| (self.resting[i].len(), usize::MAX - i));
        let buffer = best.and_then(|i| self.resting.remove(i));
        let new = buffer.as_ref().map_or(len, Vec::len);
        self.at_rest -= buffer.as_ref().map_or(0, Vec::len);
        self.lent += new;
        self.most = self.most.max(self.lent);
        buffer.unwrap_or_else(|| {
            self.shrink();
            vec![0.0; len]
        })
    }

    fn take_back(&mut self, buffer: Vec<f32>) {
        self.lent = self.lent.saturating_sub(buffer.len());
        self.at_rest += buffer.len();
        self.resting.push_back(buffer);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.lent + self.at_rest > self.most + self.most / 32
            && let Some(oldest) = self.resting.pop_front()
        {
            self.at_rest -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_the_pool_stays_small() {
        let mut pool = Pool { resting: VecDeque::new(), at_rest: 0, lent: 0, most: 0 };
        let (a, b) = (pool.lend(1000), pool.lend(3000));
        let at = b.as_ptr();
        pool.take_back(b);
        let b = pool.lend(2001);
        assert_eq!(b.as_ptr(), at, "the same memory again");
        assert_eq!((pool.lent, pool.at_rest), (4000, 0));
        pool.take_back(a);
        assert_eq!((pool.lent, pool.at_rest), (3000, 1000));
        // None that fits: 4125 floats are the most there may be, so the old buffer goes.
        let _c = pool.lend(1001);
        assert_eq!((pool.lent, pool.at_rest, pool.resting.len()), (4001, 0, 0));
    }

    #[test]
    fn a_buffer_becomes_a_tensor_and_back() {
        for len in [0, 5, SMALL + 3] {
            let mut buffer = Buffer::stale(len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            buffer.iter_mut().enumerate().for_each(|(i, v)| *v = i as f32);
            let values = buffer.to_vec();
            let tensor = buffer.into_tensor(&[len]);
            assert_eq!(tensor.as_slice::<f32>(), Some(&values[..]));
            assert_eq!(tensor.into_data().try_to_vec::<f32>().unwrap(), values);
        }
        assert_eq!(*Buffer::zeros(SMALL), vec![0.0; SMALL]);
        assert_eq!(*Buffer::from(vec![1.0, 2.0]), [1.0, 2.0]);
    }
}
