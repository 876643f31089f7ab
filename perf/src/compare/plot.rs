//! A bar chart as SVG: one group for each workload, one bar for each contender.
//!
//! The axis begins at zero and is linear: a tenth looks like a tenth.

use std::fmt::Write as _;

pub(crate) struct Group {
    pub(crate) label: String,
    /// A bar for each series, in the same order; none where there is nothing to show.
    pub(crate) values: Vec<Option<f64>>,
}

pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) series: Vec<&'a str>,
    pub(crate) groups: Vec<Group>,
}

const WIDTH: f64 = 900.0;
const LABELS: f64 = 250.0;
const NUMBERS: f64 = 80.0;
const BAR: f64 = 16.0;
const GAP: f64 = 14.0;
const HEAD: f64 = 64.0;

/// Told apart also without colour vision (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#999999", "#e69f00", "#009e73", "#cc79a7", "#d55e00"];

impl Chart<'_> {
    pub(crate) fn svg(&self) -> String {
        let largest = self
            .groups
            .iter()
            .flat_map(|group| group.values.iter().flatten())
            .fold(f64::MIN_POSITIVE, |largest, value| largest.max(*value));
        let group_height = BAR * self.series.len() as f64 + GAP;
        let height = HEAD + group_height * self.groups.len() as f64;
        let mut svg = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"10\" y=\"22\" font-size=\"16\">{}</text>",
            escaped(self.title)
        );
        for (index, name) in self.series.iter().enumerate() {
            let x = 10.0 + 120.0 * index as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"34\" width=\"12\" height=\"12\" fill=\"{}\"/>\
                 <text x=\"{}\" y=\"45\">{}</text>",
                COLOURS[index % COLOURS.len()],
                x + 17.0,
                escaped(name)
            );
        }
        for (at, group) in self.groups.iter().enumerate() {
            let top = HEAD + group_height * at as f64;
            let middle = top + BAR * self.series.len() as f64 / 2.0 + 4.0;
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
                LABELS - 8.0,
                escaped(&group.label)
            );
            for (index, value) in group.values.iter().enumerate() {
                let Some(value) = value else { continue };
                let y = top + BAR * index as f64;
                let length = value / largest * (WIDTH - LABELS - NUMBERS);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{LABELS}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{}\" \
                     fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    BAR - 3.0,
                    COLOURS[index % COLOURS.len()],
                    LABELS + length + 5.0,
                    y + BAR - 5.0,
                    number(*value)
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { crate::units::grouped(value) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart<'static> {
        let group = |label: &str, values: [Option<f64>; 2]| Group {
            label: label.to_owned(),
            values: values.to_vec(),
        };
        Chart {
            title: "CPU <us> & more",
            series: vec!["ringpost", "postfix"],
            groups: vec![
                group("kept, 20", [Some(100.0), Some(1000.0)]),
                group("fresh, 20", [None, Some(500.0)]),
            ],
        }
    }

    fn widths(svg: &str) -> Vec<f64> {
        svg.lines()
            .filter(|line| line.contains(&format!("x=\"{LABELS}\"")))
            .map(|line| {
                let (_, rest) = line.split_once("width=\"").unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            })
            .collect()
    }

    #[test]
    fn bars_are_as_long_as_their_values_say() {
        let widths = widths(&chart().svg());
        assert_eq!(widths.len(), 3);
        assert!((widths[1] / widths[0] - 10.0).abs() < 0.01);
        assert!((widths[1] / widths[2] - 2.0).abs() < 0.01);
    }

    #[test]
    fn text_is_escaped_and_tags_are_closed() {
        let svg = chart().svg();
        assert!(svg.contains("CPU &lt;us&gt; &amp; more"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn a_chart_without_values_is_still_a_picture() {
        let empty = Chart { title: "nothing", series: vec![], groups: vec![] };
        assert!(empty.svg().contains("</svg>"));
    }
}
