//! Rules, sets and elements as libnftnl's objects, where the nftnl crate's own cannot say what we need:
//! rules with our user data, sets with notes, data and counters, elements in chunks.

use std::ffi::{CStr, c_char, c_void};
use std::io;
use std::ptr::NonNull;

use nftnl::{MsgType, NlMsg, ProtoFamily};
use nftnl_sys as sys;

use super::expression::{Expression, counter};
use super::shape::{Data, Shape};
use super::uapi::datatype;

/// What libnftnl answers where memory is out.
fn allocated<T>(pointer: *mut T) -> io::Result<NonNull<T>> {
    NonNull::new(pointer).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Writes a message's header. `buffer` must have room for the largest message.
unsafe fn header(
    buffer: *mut c_void,
    kind: i32,
    family: ProtoFamily,
    flags: i32,
    sequence: u32,
) -> *mut libc::nlmsghdr {
    // SAFETY: the caller gives a buffer with room.
    unsafe {
        sys::nftnl_nlmsg_build_hdr(
            buffer.cast::<c_char>(),
            kind as u16,
            family as u16,
            flags as u16,
            sequence,
        )
        .cast()
    }
}

/// A rule, or all rules of a chain where it is deleted without a handle.
pub struct Rule {
    rule: NonNull<sys::nftnl_rule>,
    family: ProtoFamily,
}

impl Rule {
    /// A rule of a chain, without expressions.
    pub fn new(family: ProtoFamily, table: &CStr, chain: &CStr) -> io::Result<Self> {
        // SAFETY: no arguments; the result is checked and owned by what is returned.
        let rule = allocated(unsafe { sys::nftnl_rule_alloc() })?;
        // SAFETY: `rule` is live; libnftnl copies the strings.
        unsafe {
            sys::nftnl_rule_set_u32(rule.as_ptr(), sys::NFTNL_RULE_FAMILY as u16, family as u32);
            sys::nftnl_rule_set_str(rule.as_ptr(), sys::NFTNL_RULE_TABLE as u16, table.as_ptr());
            sys::nftnl_rule_set_str(rule.as_ptr(), sys::NFTNL_RULE_CHAIN as u16, chain.as_ptr());
        }
        Ok(Rule { rule, family })
    }

    /// Appends an expression.
    pub fn add(&mut self, expression: &Expression) -> io::Result<()> {
        let expression = expression.build()?;
        // SAFETY: both are live; the rule takes the expression over.
        unsafe { sys::nftnl_rule_add_expr(self.rule.as_ptr(), expression.as_ptr()) };
        Ok(())
    }

    /// Sets the user data.
    pub fn set_userdata(&mut self, userdata: &[u8]) {
        // SAFETY: `rule` is live; libnftnl copies the bytes.
        unsafe {
            sys::nftnl_rule_set_data(
                self.rule.as_ptr(),
                sys::NFTNL_RULE_USERDATA as u16,
                userdata.as_ptr().cast(),
                userdata.len() as u32,
            );
        }
    }
}

// SAFETY: `write` stays within the largest message: a rule has a handful of expressions of below 200 bytes
// each, and 256 bytes of user data at most.
unsafe impl NlMsg for Rule {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        let (kind, flags) = match kind {
            MsgType::Add => (libc::NFT_MSG_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND),
            MsgType::Del => (libc::NFT_MSG_DELRULE, 0),
        };
        // SAFETY: the caller gives a buffer with room; `rule` is live.
        unsafe {
            let header = header(buffer, kind, self.family, flags, sequence);
            sys::nftnl_rule_nlmsg_build_payload(header.cast(), self.rule.as_ptr());
        }
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        // SAFETY: allocated by libnftnl, owned by this, freed once.
        unsafe { sys::nftnl_rule_free(self.rule.as_ptr()) };
    }
}

/// What an element maps to.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// Nothing: a set's element, or one to delete.
    None,
    /// `goto CHAIN`
    Goto(&'a CStr),
    /// A number in the machine's order.
    Number(u32),
    /// Such a number, for so many milliseconds.
    Lasting(u32, u64),
}

/// A set or map, with or without elements.
pub struct Set {
    set: NonNull<sys::nftnl_set>,
    family: ProtoFamily,
}

impl Set {
    /// A set by name, as it is deleted or given elements.
    pub fn named(family: ProtoFamily, table: &CStr, name: &CStr) -> io::Result<Self> {
        // SAFETY: no arguments; the result is checked and owned by what is returned.
        let set = allocated(unsafe { sys::nftnl_set_alloc() })?;
        let this = Set { set, family };
        this.number(sys::NFTNL_SET_FAMILY, family as u32);
        // SAFETY: `set` is live; libnftnl copies the strings.
        unsafe {
            sys::nftnl_set_set_str(set.as_ptr(), sys::NFTNL_SET_TABLE as u16, table.as_ptr());
            sys::nftnl_set_set_str(set.as_ptr(), sys::NFTNL_SET_NAME as u16, name.as_ptr());
        }
        Ok(this)
    }

    /// A set as it is made. `id` is unique in its batch.
    pub fn shaped(
        family: ProtoFamily,
        table: &CStr,
        name: &CStr,
        shape: &Shape,
        id: u32,
    ) -> io::Result<Self> {
        let this = Set::named(family, table, name)?.with_id(id);
        this.number(sys::NFTNL_SET_FLAGS, shape.flags);
        this.number(sys::NFTNL_SET_KEY_TYPE, shape.key_type);
        this.number(sys::NFTNL_SET_KEY_LEN, shape.key_length);
        match shape.data {
            Data::None | Data::Foreign => {}
            Data::Verdict => {
                this.number(sys::NFTNL_SET_DATA_TYPE, libc::NFT_DATA_VERDICT);
                this.number(sys::NFTNL_SET_DATA_LEN, 0);
            }
            Data::Priority => {
                this.number(sys::NFTNL_SET_DATA_TYPE, datatype::CLASSID);
                this.number(sys::NFTNL_SET_DATA_LEN, 4);
            }
        }
        if shape.size > 0 {
            this.number(sys::NFTNL_SET_DESC_SIZE, shape.size);
        }
        if !shape.fields.is_empty() {
            this.bytes(sys::NFTNL_SET_DESC_CONCAT, &shape.fields);
        }
        this.bytes(sys::NFTNL_SET_USERDATA, &shape.userdata);
        if shape.counter {
            let counter = counter().build()?;
            // SAFETY: both are live; the set takes the expression over.
            unsafe { sys::nftnl_set_add_expr(this.set.as_ptr(), counter.as_ptr()) };
        }
        Ok(this)
    }

    /// The set that this batch made under an id.
    pub fn with_id(self, id: u32) -> Self {
        self.number(sys::NFTNL_SET_ID, id);
        self
    }

    fn number(&self, attribute: u32, value: u32) {
        // SAFETY: `set` is live.
        unsafe { sys::nftnl_set_set_u32(self.set.as_ptr(), attribute as u16, value) };
    }

    fn bytes(&self, attribute: u32, value: &[u8]) {
        // SAFETY: `set` is live; libnftnl copies the bytes.
        unsafe {
            sys::nftnl_set_set_data(
                self.set.as_ptr(),
                attribute as u16,
                value.as_ptr().cast(),
                value.len() as u32,
            );
        }
    }

    /// Adds an element to the object.
    pub fn push(&mut self, key: &[u8], end: Option<&[u8]>, target: Target<'_>) -> io::Result<()> {
        // SAFETY: no arguments; the result is checked and the set takes it over below.
        let element = allocated(unsafe { sys::nftnl_set_elem_alloc() })?.as_ptr();
        let put = |attribute: u32, bytes: &[u8]| {
            // SAFETY: `element` is live; libnftnl copies the bytes, at most 64 of them, which no key or data
            // of ours exceeds.
            unsafe {
                sys::nftnl_set_elem_set(element, attribute as u16, bytes.as_ptr().cast(), bytes.len() as u32)
            };
        };
        put(sys::NFTNL_SET_ELEM_KEY, key);
        if let Some(end) = end {
            put(sys::NFTNL_SET_ELEM_KEY_END, end);
        }
        match target {
            Target::None => {}
            Target::Number(number) => put(sys::NFTNL_SET_ELEM_DATA, &number.to_ne_bytes()),
            Target::Lasting(number, milliseconds) => {
                put(sys::NFTNL_SET_ELEM_DATA, &number.to_ne_bytes());
                // SAFETY: `element` is live.
                unsafe {
                    sys::nftnl_set_elem_set_u64(element, sys::NFTNL_SET_ELEM_TIMEOUT as u16, milliseconds);
                }
            }
            // SAFETY: `element` is live; libnftnl copies the string.
            Target::Goto(chain) => unsafe {
                sys::nftnl_set_elem_set_u32(
                    element,
                    sys::NFTNL_SET_ELEM_VERDICT as u16,
                    libc::NFT_GOTO as u32,
                );
                sys::nftnl_set_elem_set_str(element, sys::NFTNL_SET_ELEM_CHAIN as u16, chain.as_ptr());
            },
        }
        // SAFETY: both are live; the set takes the element over.
        unsafe { sys::nftnl_set_elem_add(self.set.as_ptr(), element) };
        Ok(())
    }

    /// A walk over the elements that writes as many as fit with each message.
    pub fn elements(&self) -> io::Result<Elements<'_>> {
        // SAFETY: `set` is live and outlives the iterator, which borrows it.
        let iterator = allocated(unsafe { sys::nftnl_set_elems_iter_create(self.set.as_ptr()) })?;
        Ok(Elements {
            iterator,
            set: self,
            more: std::cell::Cell::new(true),
        })
    }
}

// SAFETY: a set without its elements takes a few hundred bytes.
unsafe impl NlMsg for Set {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        let (kind, flags) = match kind {
            MsgType::Add => (libc::NFT_MSG_NEWSET, libc::NLM_F_CREATE),
            MsgType::Del => (libc::NFT_MSG_DELSET, 0),
        };
        // SAFETY: the caller gives a buffer with room; `set` is live.
        unsafe {
            let header = header(buffer, kind, self.family, flags, sequence);
            sys::nftnl_set_nlmsg_build_payload(header.cast(), self.set.as_ptr());
        }
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        // SAFETY: allocated by libnftnl, owned by this with its elements, freed once.
        unsafe { sys::nftnl_set_free(self.set.as_ptr()) };
    }
}

/// The elements of a set on their way into messages.
pub struct Elements<'a> {
    iterator: NonNull<sys::nftnl_set_elems_iter>,
    set: &'a Set,
    more: std::cell::Cell<bool>,
}

impl Elements<'_> {
    /// Whether there are elements that no message has taken.
    pub fn more(&self) -> bool {
        self.more.get()
    }
}

// SAFETY: libnftnl ends the list before its length overflows the attribute's 16 bits and takes the element
// back that would have done so; the largest message has a page of room for it.
unsafe impl NlMsg for Elements<'_> {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        let (kind, flags) = match kind {
            MsgType::Add => (libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE),
            MsgType::Del => (libc::NFT_MSG_DELSETELEM, 0),
        };
        // SAFETY: the caller gives a buffer with room; set and iterator are live.
        let left = unsafe {
            let header = header(buffer, kind, self.set.family, flags, sequence);
            sys::nftnl_set_elems_nlmsg_build_payload_iter(header.cast(), self.iterator.as_ptr())
        };
        self.more.set(left > 0);
    }
}

impl Drop for Elements<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated by libnftnl, owned by this, freed once and before the set.
        unsafe { sys::nftnl_set_elems_iter_destroy(self.iterator.as_ptr()) };
    }
}
