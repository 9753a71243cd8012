use super::options;
use crate::recipe::{OptimizerKind, Recipe, Schedule};

options! {
    /// How something is trained. What is not given depends on the preset and on what is trained.
    #[command(next_help_heading = "Training")]
    pub struct RecipeOptions {
        /// Passes over the data
        #[arg(long, value_parser = super::flags::epochs())]
        pub epochs: Option<usize>,
        /// Images a step
        #[arg(long, value_parser = super::flags::batch())]
        pub batch_size: Option<usize>,
        /// Learning rate at the start
        #[arg(long)]
        pub lr: Option<f64>,
        /// The optimiser
        #[arg(long, value_parser = super::flags::choice::<OptimizerKind>())]
        pub optimizer: Option<OptimizerKind>,
        /// How the learning rate changes
        #[arg(long, value_parser = super::flags::choice::<Schedule>())]
        pub schedule: Option<Schedule>,
        /// L2 weight decay; decoupled with adamw
        #[arg(long)]
        pub weight_decay: Option<f64>,
        /// Momentum of SGD [default: 0.9]
        #[arg(long)]
        pub momentum: Option<f64>,
        /// Limit on the gradient's global norm, 0 for none
        #[arg(long)]
        pub clip: Option<f64>,
        /// Names every random stream of the run [default: 0]
        #[arg(long)]
        pub seed: Option<u64>,
    }
}

impl RecipeOptions {
    /// These, and `preset` where they are silent.
    pub fn over(&self, preset: Recipe) -> Recipe {
        Recipe {
            epochs: self.epochs.unwrap_or(preset.epochs),
            batch_size: self.batch_size.unwrap_or(preset.batch_size),
            optimizer: self.optimizer.unwrap_or(preset.optimizer),
            lr: self.lr.unwrap_or(preset.lr),
            schedule: self.schedule.unwrap_or(preset.schedule),
            weight_decay: self.weight_decay.unwrap_or(preset.weight_decay),
            momentum: self.momentum.unwrap_or(preset.momentum),
            clip_norm: match self.clip {
                Some(clip) => (clip != 0.0).then_some(clip),
                None => preset.clip_norm,
            },
            label_smoothing: preset.label_smoothing,
            ema: preset.ema,
            mixup: preset.mixup,
            cutmix: preset.cutmix,
            seed: self.seed.unwrap_or(preset.seed),
        }
    }
}
