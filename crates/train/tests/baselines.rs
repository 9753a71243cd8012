//! Baselines as columns of an evaluation.

use burn::tensor::Device;
use dyntta_corrupt::{Corruption, Preset, Severity, suite};
use dyntta_data::{Dataset, fashion_mnist};
use dyntta_nn::{Arch, Classifier, ClassifierNet, Init, Normalisation};
use dyntta_train::baselines::{Settings, named};
use dyntta_train::{Contender, Corrupted, Geometry, Plan, Scores, Silent, Stop, compare, evaluate};

fn classifier() -> Classifier {
    let init = Init::new("classifier", 1, &Device::flex());
    let arch = Arch::CifarResNet(1);
    Classifier::new(ClassifierNet::new(&init, arch, 10), arch, 10, Normalisation::IMAGENET)
}

/// Sorted by class, as data sets are.
fn data() -> Dataset {
    let data = fashion_mnist::builtin().0.limit_balanced(60).unwrap();
    let mut order: Vec<usize> = (0..data.len()).collect();
    order.sort_by_key(|&i| data.samples[i].class);
    data.subset(&order)
}

fn plan(corruptions: Vec<Corruption>, batch_size: usize) -> Plan {
    Plan {
        clean: Some(data()),
        corrupted: Some(Corrupted::Suite {
            base: data(),
            corruptions,
            severities: vec![Severity::ALL[2]],
            seed: 0,
        }),
        geometry: Geometry::usual(Preset::Cifar, 28),
        batch_size,
    }
}

fn run(names: &[&str], settings: Settings, plan: Plan) -> Vec<Scores> {
    let mut contenders = vec![Contender::Alone];
    contenders.extend(named(names).unwrap().into_iter().map(Contender::Baseline));
    let (stop, device) = (Stop::default(), Device::flex());
    compare(&classifier(), &contenders, settings, plan, &device, &stop, &mut Silent).unwrap().scores
}

#[test]
fn baselines_change_no_other_column_and_start_anew_in_every_cell() {
    let suite = suite("fog,contrast,gaussian_noise").unwrap();
    let reversed: Vec<Corruption> = suite.iter().rev().copied().collect();
    let all = run(&["all"], Settings::default(), plan(suite.clone(), 20));
    let stop = Stop::default();
    let alone = evaluate(&classifier(), &[None], plan(suite.clone(), 7), &Device::flex(), &stop, &mut Silent)
        .unwrap();
    assert_eq!(all[0], alone.scores[0]);
    let turned = run(&["all"], Settings::default(), plan(reversed, 20));
    for (scores, turned) in all.iter().zip(turned) {
        assert_eq!(scores.clean, turned.clean);
        for cell in &scores.corrupted {
            assert!(turned.corrupted.contains(cell), "{cell:?} not in {:?}", turned.corrupted);
        }
    }
    assert_eq!(run(&["all"], Settings::default(), plan(suite, 20)), all, "deterministic");
}

/// A batch's statistics are those of an image's company, which the seed draws.
#[test]
fn batch_statistics_go_by_the_seeds_order() {
    let noise = || plan(suite("gaussian_noise").unwrap(), 6);
    let seeded = |seed| run(&["flip", "bn-adapt"], Settings { bn_prior: 0, seed }, noise());
    let runs: Vec<Vec<Scores>> = (0..4).map(seeded).collect();
    for other in &runs[1..] {
        assert_eq!(other[..2], runs[0][..2]);
    }
    assert!(runs[1..].iter().any(|other| other[2] != runs[0][2]));
}
