//! Which output of a graph holds the scores.

use dyntta_files::shown_text;

use super::proto;
use super::tensor::DataType;

/// The outputs that may hold the scores, the likeliest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// Their names.
    pub names: Vec<String>,
    /// Whether the first is no more than a guess, as others fit as well.
    pub ambiguous: bool,
}

/// The outputs that may hold scores of so many classes, if that is known: the one that is asked for, or else those that the
/// file declares as floats `[n, classes]` or leaves open.
///
/// # Errors
/// What was found instead, if there is none.
pub fn candidates(
    graph: &proto::Graph,
    wanted: Option<&str>,
    classes: Option<usize>,
) -> Result<Candidates, String> {
    let outputs: Vec<&proto::ValueInfo> = graph.output.iter().filter(|o| !o.name.is_empty()).collect();
    let listed = || {
        let names: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
        shown_text(&names.join(", ")).to_string()
    };
    if let Some(wanted) = wanted {
        return match outputs.iter().find(|o| o.name == wanted) {
            Some(output) => Ok(Candidates { names: vec![output.name.clone()], ambiguous: false }),
            None => Err(format!("the outputs {}", listed())),
        };
    }
    let mut ranked: Vec<(usize, &str)> = Vec::new();
    for output in &outputs {
        let declared = declared(output);
        let rank = match (declared, classes) {
            (Declared::Other, _) => continue,
            (Declared::Scores(Some(found)), Some(wanted)) if found == wanted => 0,
            (Declared::Open | Declared::Scores(None), Some(_)) => 1,
            (Declared::Scores(_), _) => 2,
            (Declared::Open, None) => 3,
        };
        ranked.push((rank, &output.name));
    }
    match (ranked.is_empty(), outputs.first()) {
        (true, None) => return Err("none".into()),
        // All of them are of other shapes: let the run say how.
        (true, Some(first)) => return Ok(Candidates { names: vec![first.name.clone()], ambiguous: false }),
        (false, _) => {}
    }
    ranked.sort_by_key(|&(rank, _)| rank);
    let ambiguous = ranked.len() > 1 && ranked[1].0 == ranked[0].0;
    Ok(Candidates { names: ranked.into_iter().map(|(_, name)| name.to_owned()).collect(), ambiguous })
}

/// Whether one of the outputs may hold scores of so many classes.
pub fn may_score(graph: &proto::Graph, classes: usize) -> bool {
    graph.output.iter().any(|output| match declared(output) {
        Declared::Scores(found) => found.is_none_or(|found| found == classes),
        Declared::Open => true,
        Declared::Other => false,
    })
}

enum Declared {
    /// Floats `[n, k]`, or `[n, k, 1, …]`; k where it is fixed.
    Scores(Option<usize>),
    /// Nothing that says what it is.
    Open,
    /// What no scores are: integers, text, lists, another shape.
    Other,
}

fn declared(output: &proto::ValueInfo) -> Declared {
    let Some(kind) = &output.r#type else { return Declared::Open };
    let Some(kind) = &kind.tensor_type else { return Declared::Other };
    // 0 is none given.
    if kind.elem_type != 0 && !DataType::new(kind.elem_type.into()).is_ok_and(DataType::is_float) {
        return Declared::Other;
    }
    let Some(shape) = &kind.shape else { return Declared::Open };
    match &shape.dim[..] {
        // Some exporters write no dimensions where they know none.
        [] => Declared::Open,
        [_, classes, rest @ ..] if rest.iter().all(|d| d.dim_value <= 1) => match classes.dim_value {
            k if k > 1 => Declared::Scores(usize::try_from(k).ok()),
            1 => Declared::Other,
            _ => Declared::Scores(None),
        },
        _ => Declared::Other,
    }
}
