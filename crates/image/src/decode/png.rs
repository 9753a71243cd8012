//! PNG, row filters and all, by the `png` crate.

use png::{DecodingError, Limits, Transformations};

use super::{Decode, Failure, Raw, check_size, orientation, reader, to_rgb};
use crate::Profile;

/// What a file may make the decoder hold beside the pixels: a row or two, and chunks before them.
const CHUNKS: usize = 64 << 20;

pub(super) fn decode(bytes: &[u8], how: &Decode) -> Result<Raw, Failure> {
    let mut decoder = png::Decoder::new_with_limits(reader(bytes), Limits { bytes: CHUNKS });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(!how.profile);
    // Palettes and few bits become bytes, and of 16 bits the upper byte is taken, as Pillow does.
    decoder.set_transformations(Transformations::normalize_to_color8());
    let header = decoder.read_header_info()?;
    let (width, height) = (header.width as usize, header.height as usize);
    check_size(width, height, &how.limits)?;
    let mut reader = decoder.read_info()?;
    let channels = reader.output_color_type().0.samples();
    let size = reader.output_buffer_size().ok_or(Failure::TooLarge(width, height))?;
    let mut data = vec![0; size];
    reader.next_frame(&mut data)?;
    let info = reader.info();
    let icc = info.icc_profile.as_ref().map(|icc| icc.to_vec());
    Ok(Raw {
        width,
        height,
        data: to_rgb(data, channels),
        orientation: orientation(info.exif_metadata.as_deref()),
        profile: Profile::new(icc),
    })
}

impl From<DecodingError> for Failure {
    fn from(error: DecodingError) -> Self {
        Self::Damaged(match error {
            DecodingError::LimitsExceeded => format!("chunks of more than {} MiB", CHUNKS >> 20),
            other => other.to_string(),
        })
    }
}
