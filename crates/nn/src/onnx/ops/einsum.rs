//! Sums of products by Einstein's convention, as matrix products.

use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{Float, RANK, Value};

pub const OPS: &[(&str, super::Build)] = &[("Einsum", einsum)];

/// A letter of the equation, or an axis that the dots stand for, counted from the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Dots(usize),
    Letter(char),
}

/// The letters of a tensor's axes, and where the dots stand among them.
#[derive(Clone, Debug)]
struct Term {
    letters: Vec<char>,
    dots: Option<usize>,
}

/// Operands are taken one after the other: what no other operand and not the result has is summed, what two share is a batch
/// axis or is summed in their product.
#[derive(Debug)]
struct Einsum {
    operands: Vec<Term>,
    result: Option<Term>,
}

fn einsum(node: &Node) -> Result<Box<dyn Op>, String> {
    let equation: String = node.attributes.string("equation", "").split_whitespace().collect();
    let wrong = |what: &str| format!("the equation `{}`: {what}", dyntta_files::shown_text(&equation));
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (&equation[..], None),
    };
    let term = |text: &str| -> Result<Term, String> {
        let mut term = Term { letters: Vec::new(), dots: None };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("...").filter(|_| term.dots.is_none()) {
                term.dots = Some(term.letters.len());
                rest = after;
            } else if c.is_ascii_alphabetic() {
                term.letters.push(c);
                rest = &rest[1..];
            } else {
                return Err(wrong("letters, dots, commas and an arrow are supported"));
            }
        }
        Ok(term)
    };
    let operands = left.split(',').map(term).collect::<Result<Vec<_>, _>>()?;
    let result = right.map(term).transpose()?;
    if operands.len() != node.inputs.len() {
        return Err(wrong(&format!("for {} tensors, not {}", operands.len(), node.inputs.len())));
    }
    if let Some(result) = &result {
        for (i, c) in result.letters.iter().enumerate() {
            if result.letters[..i].contains(c) {
                return Err(wrong("the result has a letter twice"));
            }
            if !operands.iter().any(|o| o.letters.contains(c)) {
                return Err(wrong("the result has a letter that no tensor has"));
            }
        }
        if result.dots.is_none() && operands.iter().any(|o| o.dots.is_some()) {
            return Err(wrong("the result lacks the dots"));
        }
    }
    boxed(Einsum { operands, result })
}

/// A tensor whose axes have labels, each once.
struct Labelled {
    x: Float,
    labels: Vec<Label>,
}

impl Labelled {
    /// A tensor as a term describes it; of letters that stand twice the diagonal is taken.
    fn new(x: Float, term: &Term) -> Result<Self, String> {
        let rank = x.rank();
        let count = term.letters.len();
        if rank < count || term.dots.is_none() && rank != count {
            return Err(format!("a tensor of rank {rank} for {count} letters"));
        }
        let letters = term.letters.iter().map(|&c| Label::Letter(c));
        let mut labels: Vec<Label> = letters.collect();
        if let Some(at) = term.dots {
            labels.splice(at..at, (0..rank - count).rev().map(Label::Dots));
        }
        let mut this = Self { x, labels };
        while let Some((a, b)) = this.twice() {
            this = this.diagonal(a, b)?;
        }
        Ok(this)
    }

    fn twice(&self) -> Option<(usize, usize)> {
        let first = |b: usize| self.labels[..b].iter().position(|l| *l == self.labels[b]);
        (0..self.labels.len()).find_map(|b| Some((first(b)?, b)))
    }

    fn diagonal(self, a: usize, b: usize) -> Result<Self, String> {
        let shape = self.x.shape();
        if shape[a] != shape[b] {
            return Err(format!("the diagonal of {} by {}", shape[a], shape[b]));
        }
        let extent = shape[a];
        let mut order: Vec<usize> = (0..shape.len()).filter(|&i| i != a && i != b).collect();
        let mut labels: Vec<Label> = order.iter().map(|&i| self.labels[i]).collect();
        let mut flat: Vec<usize> = order.iter().map(|&i| shape[i]).collect();
        order.extend([a, b]);
        labels.push(self.labels[a]);
        flat.push(extent * extent);
        let x = self.x.permute(&order).reshape(&flat)?;
        let diagonal: Vec<usize> = (0..extent).map(|i| i * (extent + 1)).collect();
        Ok(Self { x: x.select(flat.len() - 1, &diagonal), labels })
    }

    fn extent(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|l| *l == label).map(|i| self.x.shape()[i])
    }

    /// The sum over all axes that are not `wanted`.
    fn sum_others(self, wanted: impl Fn(Label) -> bool) -> Result<Self, String> {
        let unwanted: Vec<usize> = (0..self.labels.len()).filter(|&i| !wanted(self.labels[i])).collect();
        if unwanted.is_empty() {
            return Ok(self);
        }
        let shape = self.x.shape();
        let kept: Vec<usize> = (0..shape.len()).filter(|i| !unwanted.contains(i)).collect();
        let x = self.x.plain();
        let at: Vec<usize> = unwanted.iter().map(|&i| x.at(i)).collect();
        let x = x.map(|x| x.sum_dims(&at)).reshape(&kept.iter().map(|&i| shape[i]).collect::<Vec<_>>())?;
        Ok(Self { x, labels: kept.iter().map(|&i| self.labels[i]).collect() })
    }

    /// As a stack of matrices: `lead`, then all of `rows` as one axis, then all of `columns`.
    fn matrices(self, [lead, rows, columns]: [&[Label]; 3]) -> Result<Float, String> {
        let at = |l: &Label| self.labels.iter().position(|m| m == l).ok_or("an axis without a label");
        let order = [lead, rows, columns].concat().iter().map(at).collect::<Result<Vec<_>, _>>()?;
        let extents = |list: &[Label]| list.iter().map(|&l| self.extent(l).unwrap_or(1)).product::<usize>();
        let shape = [extents(lead), extents(rows), extents(columns)];
        self.x.permute(&order).reshape(&shape)
    }

    /// The product with another, summed over what is not `wanted`.
    fn product(
        self,
        other: Self,
        wanted: impl Fn(Label) -> bool,
        context: &Context<'_>,
    ) -> Result<Self, String> {
        // An extent of 1 beside a larger one is spread over it: as if it had no such axis.
        let spread = |a: &Self, b: &Self| {
            let of = |l: Label| a.extent(l) == Some(1) && b.extent(l).is_some_and(|e| e != 1);
            a.labels.iter().copied().filter(|&l| of(l)).collect::<Vec<_>>()
        };
        let (of_self, of_other) = (spread(&self, &other), spread(&other, &self));
        let a = self.sum_others(|l| !of_self.contains(&l))?;
        let b = other.sum_others(|l| !of_other.contains(&l))?;
        // What only one has and nobody wants is summed before.
        let (in_a, in_b) = (a.labels.clone(), b.labels.clone());
        let a = a.sum_others(|l| wanted(l) || in_b.contains(&l))?;
        let b = b.sum_others(|l| wanted(l) || in_a.contains(&l))?;
        let mut groups: [Vec<Label>; 4] = Default::default();
        for &label in &a.labels {
            match b.extent(label) {
                Some(extent) if Some(extent) != a.extent(label) => {
                    return Err(format!("{:?} and {:?} do not fit", a.x.shape(), b.x.shape()));
                }
                Some(_) if wanted(label) => groups[0].push(label),
                Some(_) => groups[1].push(label),
                None => groups[2].push(label),
            }
        }
        groups[3] = b.labels.iter().copied().filter(|l| !a.labels.contains(l)).collect();
        let [lead, summed, rows, columns] = groups;
        let labels = [&lead[..], &rows, &columns].concat();
        if labels.len() > RANK {
            return Err(format!("a product of rank {}: up to {RANK} are supported", labels.len()));
        }
        let shape: Vec<usize> =
            labels.iter().map(|&l| a.extent(l).or(b.extent(l)).unwrap_or(1)).collect();
        let count = context.room(&shape)?;
        context.affordable(&[count, summed.iter().map(|&l| a.extent(l).unwrap_or(1)).product()])?;
        let (a, b) = (a.matrices([&lead, &rows, &summed])?, b.matrices([&lead, &summed, &columns])?);
        let [n, m, _] = a.shape()[..] else { return Err("no matrices".into()) };
        let columns = b.shape()[2];
        let y = a.data().matmul(b.data());
        Ok(Self { x: Float::new(y, 3).reshape(&[n, m, columns])?.reshape(&shape)?, labels })
    }
}

impl Op for Einsum {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let mut tensors = Vec::new();
        for (i, term) in self.operands.iter().enumerate() {
            tensors.push(Labelled::new(inputs.float(i)?, term)?);
        }
        let dots = tensors.iter().flat_map(|t| &t.labels).filter_map(|l| match l {
            Label::Dots(i) => Some(i + 1),
            Label::Letter(_) => None,
        });
        let dots: Vec<Label> = (0..dots.max().unwrap_or(0)).rev().map(Label::Dots).collect();
        let result: Vec<Label> = match &self.result {
            Some(term) => {
                let mut labels: Vec<Label> = term.letters.iter().map(|&c| Label::Letter(c)).collect();
                if let Some(at) = term.dots {
                    labels.splice(at..at, dots);
                }
                labels
            }
            // Without an arrow: the dots, then the letters that stand once, in the alphabet's order.
            None => {
                let all: Vec<char> = self.operands.iter().flat_map(|o| o.letters.iter().copied()).collect();
                let mut once: Vec<char> = all.clone();
                once.retain(|c| all.iter().filter(|d| *d == c).count() == 1);
                once.sort_unstable();
                dots.into_iter().chain(once.into_iter().map(Label::Letter)).collect()
            }
        };
        let mut rest = tensors.into_iter();
        let mut product = rest.next().ok_or("no tensors")?;
        let mut left: Vec<Labelled> = rest.rev().collect();
        while let Some(next) = left.pop() {
            let wanted = |l: Label| result.contains(&l) || left.iter().any(|t| t.labels.contains(&l));
            product = product.product(next, wanted, context)?;
        }
        let product = product.sum_others(|l| result.contains(&l))?;
        let at = |l: &Label| product.labels.iter().position(|m| m == l).ok_or("an axis without a label");
        let order = result.iter().map(at).collect::<Result<Vec<_>, _>>()?;
        float(product.x.permute(&order))
    }
}
