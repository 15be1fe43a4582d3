//! Simulations as a chart: the open connections of each backend, below them the overload, and who was remapped.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use wvs_core::scheduler::simulate::{Remap, Sample, Simulation, StepReport};

use crate::local::plugin::simulate::Simulated;

const WIDTH: u32 = 1000;
/// Without the panel for those who were remapped.
const HEIGHT: u32 = 640;
/// That panel.
const REMAPS: u32 = 150;
/// Where the lower panel begins.
const UPPER: u32 = 430;
/// Of more backends than this the lines have no names.
const NAMED: usize = 12;
/// Of more backends than this there are no lines, but the band that they lie in.
const LINES: usize = 20;
/// Beside the lines, for their names.
const MARGIN: u32 = 130;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const GRID: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);
const MARK: RGBColor = RGBColor(0x77, 0x77, 0x77);

/// Tableau's colours and two more: neighbours differ also for most who see colours differently.
const COLOURS: [RGBColor; NAMED] = [
    RGBColor(0x4e, 0x79, 0xa7),
    RGBColor(0xf2, 0x8e, 0x2b),
    RGBColor(0x59, 0xa1, 0x4f),
    RGBColor(0xe1, 0x57, 0x59),
    RGBColor(0x76, 0xb7, 0xb2),
    RGBColor(0xb0, 0x7a, 0xa1),
    RGBColor(0xed, 0xc9, 0x48),
    RGBColor(0x9c, 0x75, 0x5f),
    RGBColor(0xff, 0x9d, 0xa7),
    RGBColor(0x37, 0x47, 0x5e),
    RGBColor(0xba, 0xb0, 0xac),
    RGBColor(0x1b, 0x7f, 0x79),
];

/// The chart as SVG.
pub fn chart(simulated: &Simulated) -> String {
    let mut svg = String::new();
    let drawn = {
        let height = HEIGHT
            + if remaps(&simulated.result).is_empty() {
                0
            } else {
                REMAPS
            };
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area, simulated).and_then(|()| area.present())
    };
    // A string takes everything.
    debug_assert!(drawn.is_ok(), "{drawn:?}");
    svg
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw<'a>(area: &Area<'a>, simulated: &Simulated) -> Drawn<'a> {
    area.fill(&WHITE)?;
    let result = &simulated.result;
    let title = format!("{}: {}, seed {}", simulated.scheduler, simulated.workload, simulated.seed);
    let area = area.titled(&title, (FONT, 20).into_font().color(&INK))?;
    let (upper, lower) = area.split_vertically(UPPER);
    connections(&upper, result)?;
    if remaps(result).is_empty() {
        return overload(&lower, result);
    }
    let (middle, lowest) = lower.split_vertically(lower.dim_in_pixel().1 - REMAPS);
    overload(&middle, result)?;
    remapped(&lowest, result)
}

/// Of each change when it was, and what share of those who could have stayed went elsewhere.
fn remaps(result: &Simulation) -> Vec<(f64, f64)> {
    let of = |step: &StepReport| {
        let remap = step.slots.or(step.clients).or(step.destinations)?;
        Some((step.at_s, remap.share()?))
    };
    result.steps.iter().filter_map(of).collect()
}

/// Of what the shares are.
fn of_what(result: &Simulation) -> &'static str {
    let any = |of: fn(&StepReport) -> Option<Remap>| result.steps.iter().any(|step| of(step).is_some());
    match (any(|step| step.slots), any(|step| step.clients)) {
        (true, _) => "of the slots",
        (false, true) => "of the clients",
        (false, false) => "of the addresses",
    }
}

fn remapped<'a>(area: &Area<'a>, result: &Simulation) -> Drawn<'a> {
    let shares = remaps(result);
    let worst = shares.iter().map(|share| share.1).fold(0.0, f64::max);
    // Few are still to be told from none.
    let top = (worst * 118.0).clamp(10.0, 118.0);
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(MARGIN)
        .margin_top(6)
        .margin_bottom(8)
        .x_label_area_size(8)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..length(result), 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(MARK)
        .y_labels(4)
        .x_label_formatter(&|_| String::new())
        .y_label_formatter(&|percent| format!("{percent:.0} %"))
        .y_desc("remapped")
        .label_style((FONT, 14, &INK))
        .axis_desc_style((FONT, 15, &INK))
        .draw()?;
    let half = length(result) / 250.0;
    let style = (FONT, 13, &INK)
        .into_text_style(area)
        .pos(Pos::new(HPos::Center, VPos::Bottom));
    for (at, share) in shares {
        let bar = [(at - half, 0.0), (at + half, share * 100.0)];
        chart.draw_series([Rectangle::new(bar, COLOURS[3].filled())])?;
        let text = Text::new(format!("{:.1} %", share * 100.0), (0, -3), style.clone());
        chart.draw_series([EmptyElement::at((at, share * 100.0)) + text])?;
    }
    beside(area, &[of_what(result), "that could", "have stayed"])
}

/// Writes a few words to the right of a panel.
fn beside<'a>(area: &Area<'a>, words: &[&str]) -> Drawn<'a> {
    let style = (FONT, 13, &INK)
        .into_text_style(area)
        .pos(Pos::new(HPos::Left, VPos::Center));
    let left = area.dim_in_pixel().0 as i32 - MARGIN as i32 + 8;
    for (row, text) in words.iter().enumerate() {
        area.draw_text(text, &style, (left, 20 + 17 * row as i32))?;
    }
    Ok(())
}

/// The connections of the middle backend at each sample, and those between which nine in ten lie: a few that have gone
/// would take the band to the ground.
fn band(result: &Simulation) -> Vec<(f64, [f64; 3])> {
    let of = |sample: &Sample| {
        let mut each = sample.each.clone();
        each.sort_unstable();
        let at = |place: usize| f64::from(each.get(place).copied().unwrap_or_default());
        let last = each.len().saturating_sub(1);
        let aside = each.len() / 20;
        (sample.at_s, [at(aside), at(last / 2), at(last.saturating_sub(aside))])
    };
    result.samples.iter().map(of).collect()
}

fn connections<'a>(area: &Area<'a>, result: &Simulation) -> Drawn<'a> {
    let most = result.samples.iter().flat_map(|sample| &sample.each).max();
    // Room above the lines for the names of changes.
    let top = f64::from(most.copied().unwrap_or(0).max(4)) * 1.18;
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(MARGIN)
        .margin_top(8)
        .x_label_area_size(8)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..length(result), 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(MARK)
        .x_label_formatter(&|_| String::new())
        .y_label_formatter(&|count| format!("{count:.0}"))
        .y_desc("open connections")
        .label_style((FONT, 14, &INK))
        .axis_desc_style((FONT, 15, &INK))
        .draw()?;
    let named = result.backends.len() <= NAMED;
    let lines = if result.backends.len() > LINES {
        let band = band(result);
        let upper = band.iter().map(|(at, [_, _, most])| (*at, *most));
        let lower = band.iter().rev().map(|(at, [least, ..])| (*at, *least));
        let outline: Vec<_> = upper.chain(lower).collect();
        chart.draw_series([Polygon::new(outline, COLOURS[0].mix(0.3))])?;
        let middle = band.iter().map(|(at, [_, middle, _])| (*at, *middle));
        chart.draw_series(LineSeries::new(middle, COLOURS[0].stroke_width(2)))?;
        0
    } else {
        result.backends.len()
    };
    for place in 0..lines {
        let colour = COLOURS[place % NAMED];
        let style = if named {
            colour.stroke_width(2)
        } else {
            colour.mix(0.55).stroke_width(1)
        };
        let line = result
            .samples
            .iter()
            .map(|sample| (sample.at_s, f64::from(sample.each[place])));
        chart.draw_series(LineSeries::new(line, style))?;
    }
    for (number, step) in result.steps.iter().enumerate() {
        let line = [(step.at_s, 0.0), (step.at_s, top)];
        chart.draw_series(DashedLineSeries::new(line, 4, 4, MARK.stroke_width(1)))?;
        // In two rows, so that changes which follow each other can be read.
        let height = top * if number % 2 == 0 { 0.985 } else { 0.935 };
        // Those near the end are written to the left of their line.
        let (offset, side) = if step.at_s > 0.8 * length(result) {
            (-4, HPos::Right)
        } else {
            (4, HPos::Left)
        };
        let style = (FONT, 13, &MARK)
            .into_text_style(area)
            .pos(Pos::new(side, VPos::Top));
        let text = Text::new(step.change.clone(), (offset, 0), style);
        chart.draw_series([EmptyElement::at((step.at_s, height)) + text])?;
    }
    legend(area, result)
}

/// The names of the lines, beside them.
fn legend<'a>(area: &Area<'a>, result: &Simulation) -> Drawn<'a> {
    let style = (FONT, 13, &INK)
        .into_text_style(area)
        .pos(Pos::new(HPos::Left, VPos::Center));
    let left = area.dim_in_pixel().0 as i32 - MARGIN as i32 + 8;
    if result.backends.len() > LINES {
        let text = format!("{} backends:", result.backends.len());
        return beside(
            area,
            &[
                &text,
                "nine in ten are",
                "in the band;",
                "line: the middle",
                "one",
            ],
        );
    }
    if result.backends.len() > NAMED {
        let text = format!("{} backends", result.backends.len());
        return area.draw_text(&text, &style, (left, 20));
    }
    for (place, tally) in result.backends.iter().enumerate() {
        let y = 20 + 22 * place as i32;
        let text = match tally.weight {
            Some(weight) => format!("{}, weight {weight}", tally.name),
            None => format!("{}, gone", tally.name),
        };
        let line = [(left, y), (left + 18, y)];
        area.draw(&PathElement::new(line, COLOURS[place].stroke_width(3)))?;
        area.draw_text(&text, &style, (left + 24, y))?;
    }
    Ok(())
}

fn overload<'a>(area: &Area<'a>, result: &Simulation) -> Drawn<'a> {
    // Among the first few connections one is much; that would hide all that follows.
    let top = result
        .overload
        .map_or(2.0, |overload| (overload.worst * 1.1).max(1.5));
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(MARGIN)
        .margin_top(10)
        .margin_bottom(8)
        .x_label_area_size(42)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..length(result), 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(MARK)
        .y_labels(5)
        .x_label_formatter(&|at| format!("{at:.0}"))
        .y_label_formatter(&|number| format!("{number:.1}"))
        .x_desc("seconds")
        .y_desc("overload")
        .label_style((FONT, 14, &INK))
        .axis_desc_style((FONT, 15, &INK))
        .draw()?;
    for step in &result.steps {
        let line = [(step.at_s, 0.0), (step.at_s, top)];
        chart.draw_series(DashedLineSeries::new(line, 4, 4, MARK.stroke_width(1)))?;
    }
    chart.draw_series(LineSeries::new([(0.0, 1.0), (length(result), 1.0)], MARK.stroke_width(1)))?;
    let line = result
        .samples
        .iter()
        .filter_map(|sample| Some((sample.at_s, sample.overload?.min(top))));
    chart.draw_series(LineSeries::new(line, INK.stroke_width(2)))?;
    beside(area, &["busiest by its", "weight's share;", "1 is level"])
}

/// An axis needs a length, even if everything happened at once.
fn length(result: &Simulation) -> f64 {
    result.duration_s.max(0.001)
}

#[cfg(test)]
mod tests {
    use wvs_core::scheduler::Dispatch;
    use wvs_core::scheduler::simulate::Tally;

    use crate::local::plugin::simulate::Asked;

    use super::*;

    fn simulated(backends: usize) -> Simulated {
        let sample = |second: u32| Sample {
            at_s: second.into(),
            open: second * backends as u32,
            each: vec![second; backends],
            overload: Some(1.0),
            off: Some(0.0),
        };
        let tally = |place| Tally {
            name: format!("b{}", place + 1),
            weight: (place != 2).then_some(1),
            got: 0,
            due: 0.0,
            open: 0,
            peak: 0,
        };
        let step = |at_s| StepReport {
            at_s,
            change: "remove b3".to_owned(),
            slots: None,
            clients: None,
            destinations: None,
        };
        Simulated {
            scheduler: "a<b>&\"c".to_owned(),
            workload: "trace x.csv".to_owned(),
            seed: 1,
            slots: 256,
            asked: Asked::default(),
            result: Simulation {
                dispatch: Dispatch::Cycle,
                duration_s: 10.0,
                arrived: 0,
                refused: 0,
                closed: 0,
                open: 0,
                tables: 0,
                overload: None,
                off: None,
                backends: (0..backends).map(tally).collect(),
                steps: vec![step(2.0), step(9.5)],
                samples: (0..=10).map(sample).collect(),
                exact: None,
            },
        }
    }

    fn texts(svg: &str) -> Vec<String> {
        let document = roxmltree::Document::parse(svg).unwrap();
        let named = document
            .descendants()
            .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")));
        named
            .map(|node| node.text().unwrap_or_default().trim().to_owned())
            .collect()
    }

    #[test]
    fn a_chart_is_an_image_with_names() {
        let found = texts(&chart(&simulated(3)));
        for text in [
            "a<b>&\"c: trace x.csv, seed 1",
            "open connections",
            "overload",
            "seconds",
            "remove b3",
            "b1, weight 1",
            "b3, gone",
        ] {
            assert!(found.iter().any(|known| known == text), "{text}: {found:?}");
        }
    }

    #[test]
    fn who_was_remapped_has_a_panel() {
        let mut simulated = simulated(3);
        assert!(!texts(&chart(&simulated)).contains(&"remapped".to_owned()));
        simulated.result.steps[0].slots = Some(Remap {
            stayed: 3,
            had_to: 5,
            remapped: 1,
        });
        let svg = chart(&simulated);
        for text in ["remapped", "25.0 %", "of the slots"] {
            assert!(texts(&svg).contains(&text.to_owned()), "{text}: {svg}");
        }
        assert!(svg.contains("height=\"790\""), "{svg}");
    }

    /// Of four backends the second is in the middle, whatever their order; of forty, two are left out at either end.
    #[test]
    fn nine_in_ten_are_in_the_band() {
        let mut four = simulated(4);
        four.result.samples[1].each = vec![7, 1, 9, 3];
        assert_eq!(band(&four.result)[1], (1.0, [1.0, 3.0, 9.0]));
        let mut forty = simulated(40);
        forty.result.samples[1].each = (0..40).rev().collect();
        assert_eq!(band(&forty.result)[1], (1.0, [2.0, 19.0, 37.0]));
    }

    #[test]
    fn a_chart_of_many_or_of_nothing_is_one_too() {
        let many = chart(&simulated(500));
        assert!(texts(&many).contains(&"500 backends:".to_owned()));
        // A band, and a line in the middle of it instead of 500.
        let twenty = chart(&simulated(20));
        assert!(texts(&twenty).contains(&"20 backends".to_owned()));
        let lines = |svg: &str| svg.matches("<polyline").count();
        assert_eq!(lines(&many) + 19, lines(&twenty));
        assert!(many.contains("<polygon") && !twenty.contains("<polygon"), "{many}");
        let mut nothing = simulated(1);
        (nothing.result.duration_s, nothing.result.samples, nothing.result.steps) =
            (0.0, Vec::new(), Vec::new());
        assert!(texts(&chart(&nothing)).contains(&"seconds".to_owned()));
    }
}
