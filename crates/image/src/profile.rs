//! ICC profiles, what the values of a file's pixels mean. They are handed on, not interpreted.

use crate::metadata::MOST_ICC;

/// What a file says of its colours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Nothing.
    #[default]
    None,
    /// An ICC profile of an RGB space, which goes with the decoded pixels.
    Rgb(Vec<u8>),
    /// A profile that doesn't go with RGB pixels, or is damaged; in words such as "a CMYK profile".
    Dropped(&'static str),
}

impl Profile {
    /// The profile that goes with the pixels.
    pub fn rgb(&self) -> Option<&[u8]> {
        match self {
            Self::Rgb(icc) => Some(icc),
            Self::None | Self::Dropped(_) => None,
        }
    }

    /// Tells a whole profile by its header (ICC.1:2022, 7.2).
    pub(crate) fn new(icc: Option<Vec<u8>>) -> Self {
        let Some(icc) = icc else { return Self::None };
        let size = icc.first_chunk::<4>().map_or(0, |s| u32::from_be_bytes(*s) as usize);
        if icc.get(36..40) != Some(b"acsp") || !(128..=icc.len()).contains(&size) {
            return Self::Dropped("a damaged profile");
        }
        if icc.len() > MOST_ICC {
            return Self::Dropped("a profile of more than 16 MB");
        }
        match icc.get(16..20) {
            Some(b"RGB ") => Self::Rgb(icc),
            Some(b"CMYK") => Self::Dropped("a CMYK profile"),
            Some(b"GRAY") => Self::Dropped("a grey profile"),
            _ => Self::Dropped("a profile of another colour space"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_rgb_profile_is_kept() {
        let header = |space: &[u8; 4]| {
            let mut icc = vec![0; 140];
            icc[..4].copy_from_slice(&140u32.to_be_bytes());
            icc[16..20].copy_from_slice(space);
            icc[36..40].copy_from_slice(b"acsp");
            icc
        };
        assert_eq!(Profile::new(Some(header(b"RGB "))).rgb(), Some(header(b"RGB ").as_slice()));
        assert_eq!(Profile::new(Some(header(b"CMYK"))), Profile::Dropped("a CMYK profile"));
        assert_eq!(Profile::new(Some(header(b"GRAY"))), Profile::Dropped("a grey profile"));
        for cut in [0, 3, 39, 139] {
            let damaged = Profile::new(Some(header(b"RGB ")[..cut].to_vec()));
            assert_eq!(damaged, Profile::Dropped("a damaged profile"), "{cut}");
        }
        assert_eq!(Profile::new(None), Profile::None);
    }
}
