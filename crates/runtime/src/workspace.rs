//! The buffers of a caller, and where its time went.

use std::time::{Duration, Instant};

/// Floats of a cache line.
const LINE: usize = 16;

/// A growable run of floats that starts on a cache line.
#[derive(Default)]
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// `len` floats: whatever was in them, or zeros where the buffer had to grow.
    pub fn ensure(&mut self, len: usize) -> &mut [f32] {
        let room = len + LINE;
        if self.0.len() < room {
            // The old memory goes first: nothing in it is wanted.
            self.0 = Vec::new();
            self.0 = vec![0.0; room];
        }
        let first = self.first();
        &mut self.0[first..first + len]
    }

    /// The first `len` floats, which [`Buffer::ensure`] was asked for before.
    fn get(&self, len: usize) -> &[f32] {
        let first = self.first();
        self.0.get(first..first + len).unwrap_or(&[])
    }

    /// The first float on a cache line.
    fn first(&self) -> usize {
        self.0.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE)
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<f32>()
    }
}

/// What an enhancer needs besides its weights: one for each caller that runs at the same time.
///
/// Buffers grow to the largest images seen and stay; drop the workspace to give them back.
#[derive(Default)]
pub struct Workspace {
    pub(crate) parts: Parts,
    pub(crate) planar: [Buffer; 2],
    pub(crate) image: Buffer,
    pub(crate) control: ControlBuffers,
    pub(crate) network: NetworkBuffers,
    /// Images and slots of `raw` and `weights`.
    pub(crate) decided: [usize; 2],
    pub(crate) raw: Buffer,
    pub(crate) weights: Buffer,
}

/// The control network's: its input, the four maps of a block, and its output.
#[derive(Default)]
pub(crate) struct ControlBuffers {
    pub view: Buffer,
    pub x: Buffer,
    pub inner: Buffer,
    pub y: Buffer,
    pub shortcut: Buffer,
    pub pooled: Buffer,
    pub out: Buffer,
}

/// The SK-UNet's.
#[derive(Default)]
pub(crate) struct NetworkBuffers {
    /// The stem's maps, at full size.
    pub full: Buffer,
    /// Maps at half size; then those at full size on the way up.
    pub half: Buffer,
    pub quarter: Buffer,
    /// Pooled maps; then those at half size on the way up; then the residual.
    pub between: Buffer,
    /// The second branch of the block at work.
    pub branch: Buffer,
    pub block: BlockBuffers,
}

/// Of a block of the SK-UNet: the moments of its input, and what the gate takes.
#[derive(Default)]
pub(crate) struct BlockBuffers {
    pub rows: Buffer,
    pub moments: Buffer,
    pub pooled: Buffer,
    pub hidden: Buffer,
    pub share: Buffer,
}

impl Workspace {
    /// Without buffers yet; the first call makes them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Time spent since the last [`Workspace::reset_parts`].
    pub fn parts(&self) -> Parts {
        self.parts
    }

    /// Sets the account of [`Workspace::parts`] to zero.
    pub fn reset_parts(&mut self) {
        self.parts = Parts::default();
    }

    /// Memory held, in bytes. (The kernels' own scratch memory, some MiB a thread, comes on top, and for DynTTA the blend's
    /// spectrum: 6 floats a pixel.)
    pub fn bytes(&self) -> usize {
        let Self { planar, image, control, network, raw, weights, .. } = self;
        let ControlBuffers { view, x, inner, y, shortcut, pooled, out } = control;
        let NetworkBuffers { full, half, quarter, between, branch, block } = network;
        let of_block = [&block.rows, &block.moments, &block.pooled, &block.hidden, &block.share];
        let others = [
            &planar[0], &planar[1], image, view, x, inner, y, shortcut, pooled, out, full, half, quarter,
            between, branch, raw, weights,
        ];
        others.into_iter().chain(of_block).map(Buffer::bytes).sum()
    }

    /// The raw magnitudes of the last batch, `[n, k]`, before their mapping to factors; empty for a URIE.
    pub fn raw(&self) -> &[f32] {
        let [n, k] = self.decided;
        self.raw.get(n * k)
    }

    /// The blend weights of the last batch, `[n, k]`, rows of sum 1; empty for a URIE.
    pub fn weights(&self) -> &[f32] {
        let [n, k] = self.decided;
        self.weights.get(n * k)
    }
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace").field("bytes", &self.bytes()).field("parts", &self.parts).finish()
    }
}

/// Wall time by part of the work. The two networks of DynTTA run side by side: the time they take together is divided
/// between them by how long each took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Between bytes, planes and interleaved channels, and the view that the control network looks at.
    pub conversions: Duration,
    /// The control network.
    pub control: Duration,
    /// The SK-UNet.
    pub network: Duration,
    /// The bank.
    pub blend: Duration,
}

impl Parts {
    /// Adds `wall`, shared out as `spent` by work that ran side by side.
    pub(crate) fn share(&mut self, wall: Duration, spent: Parts) {
        let total = spent.total().as_secs_f64();
        if total == 0.0 {
            return;
        }
        let part = |spent: Duration| wall.mul_f64(spent.as_secs_f64() / total);
        self.conversions += part(spent.conversions);
        self.control += part(spent.control);
        self.network += part(spent.network);
        self.blend += part(spent.blend);
    }

    /// All of it.
    pub fn total(&self) -> Duration {
        self.conversions + self.control + self.network + self.blend
    }
}

/// Adds to `part` the time from its making to its end.
pub(crate) fn timed<R>(part: &mut Duration, f: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = f();
    *part += start.elapsed();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_stay() {
        let mut buffer = Buffer::default();
        assert!(buffer.get(0).is_empty());
        for len in [0, 1, 1000, 17] {
            let slice = buffer.ensure(len);
            assert_eq!(slice.len(), len);
            assert_eq!(slice.as_ptr() as usize % 64, 0);
            slice.fill(len as f32);
            assert_eq!(buffer.get(len), vec![len as f32; len]);
        }
        assert_eq!(buffer.0.len(), 1000 + LINE);
    }
}
