//! Comparing what nft lists.

use std::collections::BTreeSet;

/// That two texts are the same, to the letter.
///
/// # Panics
/// With the first line that differs: a whole ruleset is nothing to read.
#[track_caller]
pub fn assert_same_text(left: &str, right: &str, what: &str) {
    let pairs = left.lines().zip(right.lines());
    if let Some((number, (left, right))) = (1..).zip(pairs).find(|(_, (left, right))| left != right) {
        panic!("{what} differ in line {number}:\n{left}\n{right}");
    }
    let lines = [left, right].map(|text| text.lines().count());
    assert_eq!(lines[0], lines[1], "{what}: one ends before the other");
}

/// Whether two listings have the same tables with the same maps, sets and chains, in whatever order.
pub fn same_tables(left: &str, right: &str) -> bool {
    parts(left) == parts(right)
}

/// That two listings have the same tables with the same maps, sets and chains. nft lists chains in the order in
/// which they were made, which is another one when some of them have come and gone.
///
/// # Panics
/// With the parts that only one of them has.
#[track_caller]
pub fn assert_same_tables(left: &str, right: &str, what: &str) {
    let (left, right) = (parts(left), parts(right));
    let only = |one: &BTreeSet<Part>, other: &BTreeSet<Part>| {
        one.difference(other)
            .map(|(table, part)| format!("in {table}:\n{part}\n"))
            .collect::<String>()
    };
    let (left, right) = (only(&left, &right), only(&right, &left));
    assert!(
        left.is_empty() && right.is_empty(),
        "{what} differ: one has\n{left}\nand the other\n{right}"
    );
}

/// A table's first line and one of its maps, sets or chains.
type Part = (String, String);

/// The maps, sets and chains of a listing. nft writes them with an empty line between and ends each table with a
/// closing brace in the first column.
fn parts(listing: &str) -> BTreeSet<Part> {
    let mut parts = BTreeSet::new();
    for table in listing.split_inclusive("\n}\n") {
        let Some((head, body)) = table.split_once('\n') else {
            continue;
        };
        let body = body.strip_suffix("}\n").unwrap_or(body);
        parts.extend(
            body.split("\n\n")
                .map(|part| (head.to_owned(), part.trim_end().to_owned())),
        );
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str =
        "table ip a {\n\tmap m {\n\t\ttype x\n\t}\n\n\tchain c {\n\t\taccept\n\t}\n}\ntable ip b {\n}\n";

    #[test]
    fn the_order_of_chains_does_not_matter_and_all_else_does() {
        let other =
            "table ip a {\n\tchain c {\n\t\taccept\n\t}\n\n\tmap m {\n\t\ttype x\n\t}\n}\ntable ip b {\n}\n";
        assert_eq!(parts(LISTING).len(), 3);
        assert_eq!(parts(LISTING), parts(other));
        for (from, to) in [("accept", "drop"), ("ip b", "ip d"), ("chain c", "chain d")] {
            assert_ne!(parts(LISTING), parts(&LISTING.replace(from, to)));
        }
    }
}
