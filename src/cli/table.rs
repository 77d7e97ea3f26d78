//! Plain text tables: columns as wide as what stands in them, two spaces between. A cell may have several lines.

use std::fmt;

/// A table, row by row.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. What is not there is shown as `-`; control characters but line breaks are not passed on.
    pub fn push<const N: usize>(&mut self, row: [&dyn fmt::Display; N]) {
        let cell = |cell: &dyn fmt::Display| {
            let text: Vec<String> = cell.to_string().split('\n').map(super::plain).collect();
            if text.iter().all(String::is_empty) { "-".to_owned() } else { text.join("\n") }
        };
        self.rows.push(row.into_iter().map(cell).collect());
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|title| title.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.lines().map(|line| line.chars().count()).max().unwrap_or_default());
            }
        }
        widths
    }
}

/// One line; the last cell ends it, so that nothing trails.
fn line<'a>(f: &mut fmt::Formatter<'_>, widths: &[usize], cells: impl Iterator<Item = &'a str>) -> fmt::Result {
    let mut text = String::new();
    for (cell, width) in cells.zip(widths) {
        text.push_str(&format!("{cell:<width$}  "));
    }
    f.write_str(text.trim_end())
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        line(f, &widths, self.head.iter().copied())?;
        f.write_str("\n")?;
        let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        line(f, &widths, rules.iter().map(String::as_str))?;
        for row in &self.rows {
            let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or_default();
            for at in 0..height {
                f.write_str("\n")?;
                line(f, &widths, row.iter().map(|cell| cell.lines().nth(at).unwrap_or_default()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_a_cell_may_have_lines() {
        let mut table = Table::new(&["path", "why", "how"]);
        table.push([&"a", &"because\nof this", &""]);
        table.push([&"longer.path", &"", &1]);
        assert_eq!(
            table.to_string(),
            "path         why      how\n\
             -----------  -------  ---\n\
             a            because  -\n             of this\n\
             longer.path  -        1"
        );
    }

    #[test]
    fn a_cell_can_not_reach_the_terminal() {
        let mut table = Table::new(&["x"]);
        table.push([&"\u{1b}[31mred\r"]);
        assert!(!table.to_string().contains(['\u{1b}', '\r']));
    }
}
