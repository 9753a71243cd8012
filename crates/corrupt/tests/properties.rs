//! What holds for every corruption, preset, severity and size.

use dyntta_corrupt::{Corruption, Elastic, Preset, Resources, Severity, corrupt, corrupt_with};
use dyntta_image::{Rgb8, Stream};
use rayon::prelude::*;

/// Smooth shapes with some texture.
fn picture(width: usize, height: usize) -> Rgb8 {
    let mut stream = Stream::new(9, &["picture"]);
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x as f64 / 24.0, y as f64 / 24.0);
            let disk = if (u - 1.5).hypot(v - 1.2) < 0.8 { 0.25 } else { 0.0 };
            let texture = stream.range(-0.04, 0.04);
            for c in [(3.0 * u).sin(), (2.5 * v).cos(), (2.0 * (u - v)).sin()] {
                data.push(((0.45 + 0.25 * c + disk + texture).clamp(0.0, 1.0) * 255.0) as u8);
            }
        }
    }
    Rgb8::new(width, height, data).unwrap()
}

fn rmse(a: &Rgb8, b: &Rgb8) -> f64 {
    let sum: f64 = a.data().iter().zip(b.data()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (sum / a.data().len() as f64).sqrt()
}

fn cases() -> Vec<(Corruption, Preset, Severity)> {
    Corruption::all()
        .flat_map(|c| {
            Preset::ALL.into_iter().flat_map(move |p| Severity::ALL.into_iter().map(move |s| (c, p, s)))
        })
        .collect()
}

#[test]
fn every_size_works_and_is_kept() {
    for (width, height) in [(1, 1), (1, 7), (7, 1), (2, 2), (3, 2), (31, 17), (16, 16), (5, 64)] {
        for image in [picture(width, height), Rgb8::black(width, height).unwrap(), white(width, height)] {
            for (corruption, preset, severity) in cases() {
                let out = corrupt(&image, corruption, preset, severity, 1, "a.png");
                assert_eq!(
                    (out.width(), out.height(), out.data().len()),
                    (width, height, width * height * 3),
                    "{corruption}"
                );
            }
        }
    }
}

fn white(width: usize, height: usize) -> Rgb8 {
    Rgb8::new(width, height, vec![255; width * height * 3]).unwrap()
}

#[test]
fn neither_order_nor_threads_change_anything() {
    let image = picture(40, 33);
    let run = |(c, p, s): &(Corruption, Preset, Severity)| corrupt(&image, *c, *p, *s, 7, "class/image.png");
    let cases = cases();
    let forwards: Vec<Rgb8> = cases.iter().map(run).collect();
    let mut backwards: Vec<Rgb8> = cases.iter().rev().map(run).collect();
    backwards.reverse();
    assert!(forwards == backwards);
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let parallel: Vec<Rgb8> = pool.install(|| cases.par_iter().map(run).collect());
        assert!(forwards == parallel, "{threads} threads");
    }
}

#[test]
fn only_random_corruptions_depend_on_the_seed() {
    let image = picture(48, 40);
    for (corruption, preset, severity) in cases() {
        let [a, b, c] = [(0, "a"), (1, "a"), (0, "b")]
            .map(|(seed, path)| corrupt(&image, corruption, preset, severity, seed, path));
        assert_eq!(a != b, corruption.is_random(), "{corruption} {preset} {severity}: seeds");
        assert_eq!(a != c, corruption.is_random(), "{corruption} {preset} {severity}: paths");
    }
}

#[test]
fn the_image_changes_and_the_damage_grows_with_the_severity() {
    let image = picture(96, 80);
    for corruption in Corruption::all() {
        for preset in Preset::ALL {
            let damage = Severity::ALL.map(|severity| {
                let seeds = if corruption.is_random() { 12 } else { 1 };
                (0..seeds)
                    .map(|s| rmse(&image, &corrupt(&image, corruption, preset, severity, s, "")))
                    .sum::<f64>()
                    / seeds as f64
            });
            assert!(damage.iter().all(|&d| d > 0.2), "{corruption} {preset}: {damage:?}");
            let grows = match (corruption.name(), preset) {
                // Severity 3 shifts from pale to strong colours, and to mud; the published damage is not ordered either.
                ("saturate" | "glass_blur" | "frost" | "elastic_transform" | "spatter", _) => continue,
                // 31.6 and 31.2 at severities 3 and 4 of the golden figures.
                ("motion_blur", Preset::Cifar) => damage[0] < damage[1] && damage[2] < damage[4],
                _ => damage.windows(2).all(|d| d[0] < d[1]),
            };
            assert!(grows, "{corruption} {preset}: {damage:?}");
        }
    }
}

#[test]
fn a_flat_image_stays_flat_under_what_only_moves_pixels() {
    let image = Rgb8::new(37, 29, [201, 77, 3].repeat(37 * 29)).unwrap();
    for name in [
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        "elastic_transform",
        "pixelate",
        "gaussian_blur",
        "contrast",
    ] {
        let corruption: Corruption = name.parse().unwrap();
        for preset in Preset::ALL {
            for severity in Severity::ALL {
                let out = corrupt(&image, corruption, preset, severity, 3, "flat");
                if name == "defocus_blur" && preset == Preset::Imagenet && severity.get() >= 4 {
                    // Two of the published kernels sum to 1.01.
                    assert!(out.data().iter().zip(image.data()).all(|(a, b)| (*b..=*b + 3).contains(a)));
                    continue;
                }
                assert!(out == image, "{name} {preset} {severity}");
            }
        }
    }
}

#[test]
fn both_elastic_transforms_work_at_every_size_and_differ_in_one_preset_only() {
    let elastic: Corruption = "elastic_transform".parse().unwrap();
    let resources = Resources { elastic: Elastic::Proportional, ..Resources::default() };
    for (width, height) in [(1, 1), (1, 7), (31, 17), (96, 80)] {
        let image = picture(width, height);
        for preset in Preset::ALL {
            for severity in Severity::ALL {
                let proportional = corrupt_with(&image, elastic, preset, severity, 5, "", &resources);
                assert_eq!((proportional.width(), proportional.height()), (width, height));
                let same = proportional == corrupt(&image, elastic, preset, severity, 5, "");
                assert!(
                    same == (preset == Preset::Cifar) || width * height < 100,
                    "{width}x{height} {preset} {severity}"
                );
            }
        }
    }
}
