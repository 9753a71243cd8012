use super::{choices, options};

choices! {
    /// What to do about files that cannot be read or decoded.
    #[derive(Default)]
    pub enum OnError as "on-error" {
        /// Stop at the first.
        #[default]
        Fail = "fail": "Stop at the first",
        /// Leave them out, and say how many.
        Skip = "skip": "Leave them out, and say how many",
    }
}

options! {
    /// Which of the images are trained on.
    pub struct DataOptions {
        /// Train on N images only, as many of each class
        #[arg(long, value_name = "N", value_parser = super::flags::count())]
        pub limit: Option<usize>,
        /// What to do about files that cannot be read or decoded [default: fail]
        #[arg(long, value_parser = super::flags::choice::<OnError>())]
        pub on_error: Option<OnError>,
    }
}
