/// The bounds of every reader: what a file may ask for before it is refused as too large.
///
/// The defaults let through what real models and data sets hold, and keep a few hostile bytes from taking the memory or the
/// time of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an image file.
    pub image_bytes: u64,
    /// Pixels of an image.
    pub pixels: usize,
    /// Pixels along a side of an image, or of the view a control network looks at.
    pub side: usize,
    /// Bytes of a text file: settings, lists, configs, policies.
    pub text_bytes: u64,
    /// Bytes of a file of weights or of an ONNX file with what lies beside it.
    pub model_bytes: u64,
    /// Elements of one tensor, of weights or of what flows through a graph.
    pub tensor_elements: usize,
    /// Elements of all tensors that a file holds, together.
    pub total_elements: usize,
    /// Multiply-adds that a graph may cost for one image.
    pub work: u64,
    /// Threads.
    pub threads: usize,
    /// Folders inside folders.
    pub depth: usize,
    /// Files below a folder, or entries of an archive.
    pub entries: usize,
}

impl Limits {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        image_bytes: 1 << 30,
        pixels: 100_000_000,
        side: 65_535,
        text_bytes: 256 << 20,
        model_bytes: 16 << 30,
        tensor_elements: 1 << 30,
        total_elements: 1 << 32,
        work: 1_000_000_000_000,
        threads: 4096,
        depth: 64,
        entries: 50_000_000,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
