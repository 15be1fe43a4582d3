//! Rules that have packets wait, in the words of the kernel at hand.

use nftnl_sys as sys;

use super::expression::Expression;
use super::uapi;
use crate::plan::{Op, Plan};
use crate::ruleset::{Family, Rule, Statement};

/// How a rule has packets wait: in nft's own way, or in that of iptables, for kernels without `CONFIG_NFT_QUEUE`.
/// Both do the same; nft cannot print the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueForm {
    /// The expression `queue`.
    #[default]
    Expression,
    /// The target `NFQUEUE` in its third revision.
    Target,
}

/// Has the packet wait in a queue; where nobody listens, it goes on.
pub fn queue(number: u16, form: QueueForm) -> Expression {
    let (total, flags) = (1_u16, uapi::QUEUE_BYPASS);
    match form {
        QueueForm::Expression => Expression::new(c"queue")
            .short(sys::NFTNL_EXPR_QUEUE_NUM, number)
            .short(sys::NFTNL_EXPR_QUEUE_TOTAL, total)
            .short(sys::NFTNL_EXPR_QUEUE_FLAGS, flags),
        // struct xt_NFQ_info_v3, as long as iptables makes it.
        QueueForm::Target => Expression::new(c"target")
            .text(sys::NFTNL_EXPR_TG_NAME, c"NFQUEUE".into())
            .number(sys::NFTNL_EXPR_TG_REV, 3)
            .given(sys::NFTNL_EXPR_TG_INFO, [number, total, flags, 0].map(u16::to_ne_bytes).concat()),
    }
}

/// Whether a plan has packets wait.
pub fn is_in(plan: &Plan) -> bool {
    let waits = |op: &Op| match op {
        Op::AddRule(_, _, rule) => rule.statements.iter().any(|it| matches!(it, Statement::Queue(_))),
        _ => false,
    };
    plan.ops.iter().any(waits)
}

/// What tells which form a kernel takes: it takes this if it has the expression.
pub fn trial() -> Plan {
    const CHAIN: &str = "try";
    let family = Family::V4;
    let rule = Rule {
        statements: vec![Statement::Queue(0)],
        comment: None,
    };
    Plan {
        ops: vec![
            Op::AddTable(family),
            Op::AddChain(family, CHAIN.to_owned(), None),
            Op::AddRule(family, CHAIN.to_owned(), rule),
        ],
    }
}

#[cfg(test)]
mod tests {
    use nftnl::{MsgType, ProtoFamily};

    use super::*;
    use crate::kernel::nft::batch::Batch;
    use crate::kernel::nft::object;

    #[test]
    fn both_forms_are_as_nft_and_iptables_send_them() {
        let sent = |form| {
            let mut rule = object::Rule::new(ProtoFamily::Ipv4, c"t", c"c").unwrap();
            rule.add(&queue(7776, form)).unwrap();
            let mut batch = Batch::new(0);
            batch.add(0, &rule, MsgType::Add);
            batch.seal(1).bytes
        };
        let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|it| it == part);
        // NFTA_QUEUE_NUM, _TOTAL, _FLAGS in network order, as `nft --debug=mnl` of nftables 1.0.6 shows them.
        let expression = sent(QueueForm::Expression);
        let numbers = [
            6, 0, 1, 0, 0x1e, 0x60, 0, 0, 6, 0, 2, 0, 0, 1, 0, 0, 6, 0, 3, 0, 0, 1,
        ];
        assert!(has(&expression, b"queue\0") && has(&expression, &numbers), "{expression:02x?}");
        // NFTA_TARGET_INFO in the machine's order: number, how many, bypass, and what fills it up to eight bytes.
        let target = sent(QueueForm::Target);
        let info = [7776_u16, 1, 1, 0].map(u16::to_ne_bytes).concat();
        let info = [&[12, 0, 3, 0][..], &info].concat();
        assert!(has(&target, b"NFQUEUE\0") && has(&target, &info), "{target:02x?}");
    }
}
