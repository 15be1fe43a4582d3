;; {{name}}: a scheduler in WebAssembly's text form. A director takes this file as it is.
;;
;; Everybody takes turns, whatever the weights; that is the place to begin. The contract is in
;; wvs's plugins-sdk/wit/scheduler.wit, and this is how it looks from here:
;;
;;   * Arguments lie in memory that the director asks of `cabi_realloc`.
;;   * Results that are more than one number lie at an address that is returned; here it is 0.
;;     ok or err: one byte at 0. An error's text: its address at 4, its length at 8.
;;   * A backend is 28 bytes: id, weight, four words of address, then 2 bytes of port, 1 of state.
;;   * A director stops a call after 250 ms, and a plugin at 64 MiB.
;;
;; It may import "wvs" "log", "random" and "now", and nothing else.
(module
  (memory (export "memory") 6)

  ;; 0: the results. 64: the description. 256: texts. 4096: the ids of the usable backends, of which
  ;; there are 65535 at most. 327680: arguments and tables.
  (global $usable (mut i32) (i32.const 0))
  (global $heap (mut i32) (i32.const 327680))

  (data (i32.const 256) "{{name}}")
  (data (i32.const 320) "0.1.0")
  (data (i32.const 336) "everybody takes turns, whatever the weights")
  ;; name, version, summary: address and length of each; then the parameters, of which there are none.
  (data (i32.const 64)
    "\00\01\00\00\{{name-length}}\00\00\00" "\40\01\00\00\05\00\00\00" "\50\01\00\00\2b\00\00\00"
    "\00\10\00\00\00\00\00\00")

  (func (export "describe") (result i32) (i32.const 64))

  ;; Parameters: none. ok(cycle): two bytes of 0, at 0 and 4. For a table that is indexed by a hash, 1 at 4
  ;; and at 5 what is hashed: 0 source, 1 source and port, 2 destination, 3 both.
  (func (export "configure") (param $params i32) (param $count i32) (result i32)
    (call $forget)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store8 offset=4 (i32.const 0) (i32.const 0))
    (i32.const 0))

  ;; Keeps the ids of those that have a weight and no state: draining, down or overloaded.
  (func (export "update") (param $backend i32) (param $count i32) (result i32)
    (global.set $usable (i32.const 0))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (if (i32.and (i32.ne (i32.load offset=4 (local.get $backend)) (i32.const 0))
                     (i32.eqz (i32.load8_u offset=26 (local.get $backend))))
          (then
            (i32.store offset=4096 (i32.shl (global.get $usable) (i32.const 2)) (i32.load (local.get $backend)))
            (global.set $usable (i32.add (global.get $usable) (i32.const 1)))))
        (local.set $backend (i32.add (local.get $backend) (i32.const 28)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (call $forget)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.const 0))

  ;; Exactly as many entries as asked for. -1 is nobody.
  (func (export "fill") (param $slots i32) (result i32)
    (local $table i32) (local $slot i32) (local $id i32)
    (local.set $table (call $take (i32.shl (local.get $slots) (i32.const 2))))
    (local.set $id (i32.const -1))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $slot) (local.get $slots)))
        (if (global.get $usable)
          (then (local.set $id (i32.load offset=4096
            (i32.shl (i32.rem_u (local.get $slot) (global.get $usable)) (i32.const 2))))))
        (i32.store (i32.add (local.get $table) (i32.shl (local.get $slot) (i32.const 2))) (local.get $id))
        (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
        (br $next)))
    (call $forget)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store offset=4 (i32.const 0) (local.get $table))
    (i32.store offset=8 (i32.const 0) (local.get $slots))
    (i32.const 0))

  ;; Where the director puts arguments. What it took is given back at the end of the call.
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (call $take (local.get $size)))

  ;; So many bytes, at a multiple of 8.
  (func $take (param $size i32) (result i32)
    (local $at i32) (local $missing i32)
    (local.set $at (global.get $heap))
    (global.set $heap
      (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (local.set $missing
      (i32.sub (i32.div_u (i32.add (global.get $heap) (i32.const 65535)) (i32.const 65536)) (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then (if (i32.lt_s (memory.grow (local.get $missing)) (i32.const 0)) (then unreachable))))
    (local.get $at))

  ;; A result may still lie there: it is read before the next call.
  (func $forget (global.set $heap (i32.const 327680))))
