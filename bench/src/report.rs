//! What every benchmark prints: one table, or one JSON object.

use std::collections::BTreeMap;

use serde::Serialize;

/// The result of one benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Which benchmark.
    pub(crate) bench: &'static str,
    /// What it measured.
    pub(crate) rows: Vec<Row>,
    /// Which case the next rows belong to.
    #[serde(skip)]
    case: Option<String>,
}

/// One figure, with the same figure of the others under the same load.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// In which case, where a benchmark has several; stable, for machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) case: Option<String>,
    /// What was measured; stable, for machines.
    pub(crate) what: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Ours.
    pub(crate) value: f64,
    /// The others', by name.
    pub(crate) beside: BTreeMap<&'static str, f64>,
}

impl Report {
    /// A report without rows.
    pub(crate) fn new(bench: &'static str) -> Self {
        Self { bench, rows: Vec::new(), case: None }
    }

    /// The rows that follow belong to this case.
    pub(crate) fn case(&mut self, case: String) {
        self.case = Some(case);
    }

    /// Adds a row; `beside` holds the others' figures.
    pub(crate) fn row(
        &mut self,
        what: &'static str,
        unit: &'static str,
        value: f64,
        beside: &[(&'static str, f64)],
    ) {
        let beside = beside.iter().copied().collect();
        self.rows.push(Row { case: self.case.clone(), what, unit, value, beside });
    }

    /// Prints the report to standard output.
    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).expect("a report has only names and numbers"));
            return;
        }
        println!("{}", self.bench);
        match self.case {
            Some(_) => print_cases(&self.rows),
            None => print_rows(&self.rows),
        }
    }
}

/// A line for each figure.
fn print_rows(rows: &[Row]) {
    for row in rows {
        let mut line = format!("  {:<26} {:>14} {:<8}", row.what, shown(row.value), row.unit);
        for (name, value) in &row.beside {
            let ratio = row.value / value;
            line.push_str(&format!("  {name} {} (ours is {ratio:.2} of it)", shown(*value)));
        }
        println!("{}", line.trim_end());
    }
}

/// A line for each case and side, a column for each figure: all cases have the same.
fn print_cases(rows: &[Row]) {
    let mut cases = rows.chunk_by(|a, b| a.case == b.case).peekable();
    let line = |case: &str, side: &str, figures: &mut dyn Iterator<Item = String>| {
        let figures = figures.map(|figure| format!(" {figure:>13}")).collect::<String>();
        println!("  {case:<22} {side:<12}{figures}");
    };
    if let Some(first) = cases.peek() {
        line("", "", &mut first.iter().map(|row| row.what.to_owned()));
    }
    for rows in cases {
        let case = rows[0].case.as_deref().unwrap_or_default();
        line(case, "ours", &mut rows.iter().map(|row| shown(row.value)));
        for name in rows[0].beside.keys() {
            line("", name, &mut rows.iter().map(|row| shown(row.beside[name])));
        }
    }
}

/// The middle one of some figures.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures = figures.collect::<Vec<_>>();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A number with as many decimals as it deserves and its thousands apart.
fn shown(value: f64) -> String {
    let decimals = match value.abs() {
        v if v < 10.0 => 3,
        v if v < 1_000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(w, r)| (w, Some(r)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    rest.map_or(grouped.clone(), |rest| format!("{grouped}.{rest}"))
}
