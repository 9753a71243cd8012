//! The enhancer.

use std::path::Path;

use dyntta_image::{Decode, Decoded, Exif, FileFormat, Metadata, Rgb8, decode_with};
use dyntta_model::{EnhancerConfig, Limits, Method};
use dyntta_ops::Bank;
use dyntta_runtime::{Decision, Workspace};

use crate::error::{Error, ErrorKind};

/// What an enhancer's control network looks at.
///
/// ```
/// use dyntta::{Enhancer, Method, Options, View};
///
/// let options = Options { view: View::Side(64), ..Options::default() };
/// let enhancer = Enhancer::untrained(Method::Dyntta, 0).with_options(options)?;
/// assert_eq!(enhancer.options().view, View::Side(64));
/// # Ok::<(), dyntta::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// A view of the size that it saw in training, which the checkpoint tells; the image itself of an untrained one.
    #[default]
    Stored,
    /// The image itself, whatever its size.
    Image,
    /// A square view of so many pixels a side, 1 to 2048.
    Side(usize),
}

/// How an enhancer is loaded and used.
///
/// ```
/// use dyntta::{Enhancer, ErrorKind, Limits, Method, Options, Rgb8};
///
/// // A service that takes no image of more than a megapixel.
/// let limits = Limits { pixels: 1_000_000, ..Limits::DEFAULT };
/// let options = Options { limits, ..Options::default() };
/// let enhancer = Enhancer::untrained(Method::Urie, 0).with_options(options)?;
/// let error = enhancer.enhance(&Rgb8::black(1001, 1000)?).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::TooLarge);
/// # Ok::<(), dyntta::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What the control network looks at.
    pub view: View,
    /// What files and images may ask for.
    pub limits: Limits,
    /// Whether image files are turned as their EXIF orientation says. The files that are written have none.
    pub exif: Exif,
}

/// A trained enhancer, ready to use. Clones share the weights; threads may use one at the same time.
///
/// ```
/// use dyntta::{Enhancer, Method, Rgb8};
///
/// let enhancer = Enhancer::untrained(Method::Dyntta, 0);
/// let image = Rgb8::new(40, 30, vec![90; 40 * 30 * 3])?;
/// let enhanced = enhancer.enhance(&image)?;
/// assert_eq!((enhanced.width(), enhanced.height()), (40, 30));
/// # Ok::<(), dyntta::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Enhancer {
    inner: dyntta_runtime::Enhancer,
    options: Options,
}

impl Enhancer {
    /// Loads what training left: a run's folder, or a weight file with its config beside it. A weight file without a config,
    /// safetensors or PyTorch's, is taken for the bare weights of a URIE.
    ///
    /// ```no_run
    /// let enhancer = dyntta::Enhancer::load("runs/dyntta")?;
    /// # Ok::<(), dyntta::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a file is missing or not what it should be, asks for more than the default [`Limits`], or the weights do not fit the
    /// config.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::load_with(path, Options::default())
    }

    /// [`Enhancer::load`] with options.
    ///
    /// ```
    /// use dyntta::{Enhancer, ErrorKind, Limits, Options};
    ///
    /// let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("urie.safetensors");
    /// std::fs::write(&path, [0; 100]).unwrap();
    /// let limits = Limits { model_bytes: 99, ..Limits::DEFAULT };
    /// let error = Enhancer::load_with(&path, Options { limits, ..Options::default() }).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// ```
    ///
    /// # Errors
    /// As [`Enhancer::load`], within the options' limits, and as [`Enhancer::with_options`].
    pub fn load_with(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        Self::new(dyntta_runtime::Enhancer::load_with(path, &options.limits)?, options)
    }

    /// From the bytes of a weight file and the text of its config, such as an embedding program has within itself.
    ///
    /// ```
    /// use dyntta::{Enhancer, ErrorKind, Options};
    ///
    /// let error = Enhancer::from_bytes(b"no weights".to_vec(), None, Options::default()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Damaged);
    /// ```
    ///
    /// # Errors
    /// As [`Enhancer::load_with`].
    pub fn from_bytes(weights: Vec<u8>, config: Option<&str>, options: Options) -> Result<Self, Error> {
        let inner = dyntta_runtime::Enhancer::from_bytes(weights, config, MEMORY, &options.limits)?;
        Self::new(inner, options)
    }

    /// An enhancer with fresh weights and, for DynTTA, the published bank: where training starts from `seed`, and something to
    /// try a program with.
    ///
    /// ```
    /// use dyntta::{Enhancer, Method};
    ///
    /// let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    /// assert_eq!(enhancer.bank().unwrap().len(), 50);
    /// ```
    pub fn untrained(method: Method, seed: u64) -> Self {
        Self { inner: dyntta_runtime::Enhancer::untrained(method, seed), options: Options::default() }
    }

    fn new(inner: dyntta_runtime::Enhancer, options: Options) -> Result<Self, Error> {
        Self { inner, options: Options::default() }.with_options(options)
    }

    /// The same enhancer with other options.
    ///
    /// ```
    /// use dyntta::{Enhancer, ErrorKind, Method, Options, View};
    ///
    /// let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    /// let none = Options { view: View::Side(0), ..Options::default() };
    /// assert_eq!(enhancer.with_options(none).unwrap_err().kind(), ErrorKind::InvalidInput);
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the view is of no pixels, or more than 2048 a side.
    pub fn with_options(self, options: Options) -> Result<Self, Error> {
        let inner = match options.view {
            View::Stored => self.inner.with_stored_view(),
            View::Image => self.inner.with_control_size(None)?,
            View::Side(side) => self.inner.with_control_size(Some(side))?,
        };
        Ok(Self { inner, options })
    }

    /// The options.
    ///
    /// ```
    /// use dyntta::{Enhancer, Method, Options};
    ///
    /// assert_eq!(*Enhancer::untrained(Method::Urie, 0).options(), Options::default());
    /// ```
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Which enhancer it is.
    ///
    /// ```
    /// use dyntta::{Enhancer, Method};
    ///
    /// assert_eq!(Enhancer::untrained(Method::Urie, 0).method(), Method::Urie);
    /// ```
    pub fn method(&self) -> Method {
        self.inner.method()
    }

    /// The bank of augmentations; none for a URIE.
    ///
    /// ```
    /// use dyntta::{Enhancer, Method};
    ///
    /// let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    /// assert!(enhancer.bank().unwrap().names().any(|name| name == "contrast"));
    /// ```
    pub fn bank(&self) -> Option<&Bank> {
        self.inner.bank()
    }

    /// What was saved beside the weights: the classifier it was trained for, the size of its images, the recipe. Absent for bare
    /// weights and untrained ones.
    ///
    /// ```
    /// use dyntta::{Enhancer, Method};
    ///
    /// assert!(Enhancer::untrained(Method::Urie, 0).config().is_none());
    /// ```
    pub fn config(&self) -> Option<&EnhancerConfig> {
        self.inner.config()
    }

    /// Enhances an image of any size.
    ///
    /// ```
    /// use dyntta::{Enhancer, Method, Rgb8};
    ///
    /// let enhanced = Enhancer::untrained(Method::Urie, 0).enhance(&Rgb8::black(20, 10)?)?;
    /// assert_eq!(enhanced.data().len(), 600);
    /// # Ok::<(), dyntta::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] above the limits for an image.
    pub fn enhance(&self, image: &Rgb8) -> Result<Rgb8, Error> {
        self.enhance_with(&mut Workspace::new(), image)
    }

    /// [`Enhancer::enhance`] for many images of any sizes, with the same results to the bit. Small images are shared out between
    /// the threads.
    ///
    /// ```
    /// use dyntta::{Enhancer, Method, Rgb8};
    ///
    /// let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    /// let images = [Rgb8::black(8, 8)?, Rgb8::black(20, 10)?];
    /// let enhanced = enhancer.enhance_batch(&images)?;
    /// assert_eq!(enhanced[1], enhancer.enhance(&images[1])?);
    /// # Ok::<(), dyntta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Enhancer::enhance`], of the first image that has one; then none is enhanced.
    pub fn enhance_batch(&self, images: &[Rgb8]) -> Result<Vec<Rgb8>, Error> {
        images.iter().try_for_each(|image| self.check(image))?;
        Ok(self.inner.enhance_batch(images)?)
    }

    /// [`Enhancer::enhance`] with buffers that stay from call to call.
    ///
    /// ```
    /// use dyntta::{Enhancer, Method, Rgb8, Workspace};
    ///
    /// let enhancer = Enhancer::untrained(Method::Urie, 0);
    /// let mut workspace = Workspace::new();
    /// for side in [8, 16] {
    ///     let enhanced = enhancer.enhance_with(&mut workspace, &Rgb8::black(side, side)?)?;
    ///     assert_eq!(enhanced.width(), side);
    /// }
    /// # Ok::<(), dyntta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Enhancer::enhance`].
    pub fn enhance_with(&self, workspace: &mut Workspace, image: &Rgb8) -> Result<Rgb8, Error> {
        self.check(image)?;
        Ok(self.inner.enhance_with(workspace, image)?)
    }

    /// Enhances an image file: a JPEG, PNG, BMP or WebP as bytes comes back as one of `format`. The picture is turned as its EXIF
    /// orientation says unless [`Options::exif`] says otherwise; an RGB colour profile is kept; no other metadata is. It is what
    /// `dyntta enhance` writes, to the bit.
    ///
    /// ```
    /// use dyntta::{Enhancer, FileFormat, Method, Rgb8};
    ///
    /// let file = FileFormat::Jpeg(90).encode(&Rgb8::black(20, 10)?)?;
    /// let enhanced = Enhancer::untrained(Method::Urie, 0).enhance_encoded(&file, FileFormat::Png)?;
    /// assert!(enhanced.starts_with(b"\x89PNG"));
    /// # Ok::<(), dyntta::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`], [`ErrorKind::Unsupported`] and [`ErrorKind::TooLarge`], as the file is;
    /// [`ErrorKind::InvalidInput`] if the image is too long for the format.
    pub fn enhance_encoded(&self, file: &[u8], format: FileFormat) -> Result<Vec<u8>, Error> {
        self.encoded(&mut Workspace::new(), file, format)
    }

    /// [`Enhancer::enhance_encoded`] for many files. What is wrong with one leaves the others be.
    ///
    /// ```
    /// use dyntta::{Enhancer, ErrorKind, FileFormat, Method, Rgb8};
    ///
    /// let files = [FileFormat::Png.encode(&Rgb8::black(9, 9)?)?, b"a note".to_vec()];
    /// let enhanced = Enhancer::untrained(Method::Urie, 0).enhance_encoded_batch(&files, FileFormat::Png);
    /// assert!(enhanced[0].is_ok());
    /// assert_eq!(enhanced[1].as_ref().unwrap_err().kind(), ErrorKind::Unsupported);
    /// # Ok::<(), dyntta::Error>(())
    /// ```
    pub fn enhance_encoded_batch(
        &self,
        files: &[impl AsRef<[u8]>],
        format: FileFormat,
    ) -> Vec<Result<Vec<u8>, Error>> {
        let mut workspace = Workspace::new();
        files.iter().map(|file| self.encoded(&mut workspace, file.as_ref(), format)).collect()
    }

    fn encoded(&self, workspace: &mut Workspace, file: &[u8], format: FileFormat) -> Result<Vec<u8>, Error> {
        let limit = self.options.limits.image_bytes;
        if file.len() as u64 > limit {
            return Err(dyntta_files::Error::TooLarge { path: MEMORY.into(), limit }.into());
        }
        let decoded = decode_with(file, MEMORY, &self.decoding())?;
        self.enhance_decoded(workspace, &decoded, format)
    }

    /// How [`Enhancer::enhance_encoded`] decodes: for a caller who looks at the decoded image, or at what became of its profile,
    /// before [`Enhancer::enhance_decoded`].
    ///
    /// ```
    /// use dyntta::{Enhancer, Method};
    ///
    /// assert!(Enhancer::untrained(Method::Urie, 0).decoding().profile);
    /// ```
    pub fn decoding(&self) -> Decode {
        Decode { exif: self.options.exif, profile: true, limits: self.options.limits }
    }

    /// The second half of [`Enhancer::enhance_encoded`]: enhances a decoded file and encodes the result, with the colour profile
    /// if that is one of RGB, and the program's mark.
    ///
    /// ```
    /// use dyntta::{Enhancer, FileFormat, Method, Rgb8, Workspace, image};
    ///
    /// let enhancer = Enhancer::untrained(Method::Urie, 0);
    /// let file = FileFormat::Png.encode(&Rgb8::black(9, 9)?)?;
    /// let decoded = image::decode_with(&file, "black.png", &enhancer.decoding())?;
    /// let enhanced = enhancer.enhance_decoded(&mut Workspace::new(), &decoded, FileFormat::Png)?;
    /// assert_eq!(enhanced, enhancer.enhance_encoded(&file, FileFormat::Png)?);
    /// # Ok::<(), dyntta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Enhancer::enhance`], and [`ErrorKind::InvalidInput`] if the image is too long for the format.
    pub fn enhance_decoded(
        &self,
        workspace: &mut Workspace,
        decoded: &Decoded,
        format: FileFormat,
    ) -> Result<Vec<u8>, Error> {
        let image = self.enhance_with(workspace, &decoded.image)?;
        let metadata = Metadata { icc: decoded.profile.rgb(), marked: true };
        Ok(format.encode_with(&image, &metadata)?)
    }

    /// Enhances a batch of `n` images of `h` x `w` pixels as a network has them: `x` and `out` are `[n, 3, h, w]`, values in
    /// `0..=1`. DynTTA's result is in that range; URIE's may leave it, as published.
    ///
    /// ```
    /// use dyntta::{Enhancer, ErrorKind, Method, Workspace};
    ///
    /// let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    /// let (x, mut out) = (vec![0.5; 2 * 3 * 8 * 8], vec![0.0; 2 * 3 * 8 * 8]);
    /// let mut workspace = Workspace::new();
    /// enhancer.enhance_planar(&mut workspace, 2, 8, 8, &x, &mut out)?;
    /// assert_eq!(workspace.weights().len(), 2 * 50);
    /// let error = enhancer.enhance_planar(&mut workspace, 2, 8, 9, &x, &mut out).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// # Ok::<(), dyntta::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a length is another, or a side is 0; [`ErrorKind::TooLarge`] above the limits for an image.
    pub fn enhance_planar(
        &self,
        workspace: &mut Workspace,
        n: usize,
        h: usize,
        w: usize,
        x: &[f32],
        out: &mut [f32],
    ) -> Result<(), Error> {
        self.check_size(w, h)?;
        Ok(self.inner.enhance_planar(workspace, n, h, w, x, out)?)
    }

    /// What the control network decides for an image: each augmentation's share of the blend, and its strength. In the order of
    /// the bank; nothing for a URIE, which decides nothing.
    ///
    /// ```
    /// use dyntta::{Enhancer, Method, Rgb8};
    ///
    /// let decisions = Enhancer::untrained(Method::Dyntta, 0).explain(&Rgb8::black(32, 32)?)?;
    /// let sum: f32 = decisions.iter().map(|decision| decision.weight).sum();
    /// assert!((sum - 1.0).abs() < 1e-5);
    /// let most = decisions.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)).unwrap();
    /// assert!(!most.name.is_empty());
    /// # Ok::<(), dyntta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Enhancer::enhance`].
    pub fn explain(&self, image: &Rgb8) -> Result<Vec<Decision>, Error> {
        self.check(image)?;
        Ok(self.inner.explain(image)?)
    }

    /// [`Enhancer::explain`] for many images of any sizes, with the same results to the bit.
    ///
    /// ```
    /// use dyntta::{Enhancer, Method, Rgb8};
    ///
    /// let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    /// let explained = enhancer.explain_batch(&[Rgb8::black(8, 8)?, Rgb8::black(20, 10)?])?;
    /// assert_eq!((explained.len(), explained[1].len()), (2, 50));
    /// # Ok::<(), dyntta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Enhancer::enhance`], of the first image that has one.
    pub fn explain_batch(&self, images: &[Rgb8]) -> Result<Vec<Vec<Decision>>, Error> {
        images.iter().try_for_each(|image| self.check(image))?;
        Ok(self.inner.explain_batch(images)?)
    }

    fn check(&self, image: &Rgb8) -> Result<(), Error> {
        self.check_size(image.width(), image.height())
    }

    fn check_size(&self, width: usize, height: usize) -> Result<(), Error> {
        let Limits { pixels, side, .. } = self.options.limits;
        if width.max(height) > side || width.checked_mul(height).is_none_or(|all| all > pixels) {
            let text = format!(
                "an image of {width}x{height} pixels: expected at most {pixels} pixels and {side} a side"
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        Ok(())
    }
}

/// What bytes are called in messages.
const MEMORY: &str = "(memory)";
