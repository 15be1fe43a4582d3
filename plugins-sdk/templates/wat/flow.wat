;; {{name}}: a scheduler in WebAssembly's text form that decides for each connection. A director takes this file as it is.
;;
;; Whoever has the fewest connections for its weight gets the next one. The contract is in wvs's
;; plugins-sdk/wit/scheduler.wit, and this is how it looks from here:
;;
;;   * Arguments lie in memory that the director asks of `cabi_realloc`.
;;   * Results that are more than one number lie at an address that is returned; here it is 0.
;;     ok or err: one byte at 0. An error's text: its address at 4, its length at 8.
;;   * A backend is 28 bytes: id, weight, four words of address, then 2 bytes of port, 1 of state.
;;   * A director stops a call after 250 ms, a pick after 2, and a plugin at 64 MiB.
;;
;; It may import "wvs" "log", "random" and "now", and nothing else.
(module
  (memory (export "memory") 25)

  ;; 0: the results. 64: the description. 256: texts. 4096: the usable backends, of which there are 65535 at most, 24 bytes
  ;; each: id, place in the last update, connections (f64), weight (f64). 1576960: arguments.
  (global $end (mut i32) (i32.const 4096))
  (global $heap (mut i32) (i32.const 1576960))

  (data (i32.const 256) "{{name}}")
  (data (i32.const 320) "0.1.0")
  (data (i32.const 336) "whoever has the fewest connections for its weight gets the next")
  ;; name, version, summary: address and length of each; then the parameters, of which there are none.
  (data (i32.const 64)
    "\00\01\00\00\{{name-length}}\00\00\00" "\40\01\00\00\05\00\00\00" "\50\01\00\00\3f\00\00\00"
    "\00\10\00\00\00\00\00\00")

  (func (export "describe") (result i32) (i32.const 64))

  ;; Parameters: none. ok(per-flow): 0 at 0, and 2 at 4.
  (func (export "configure") (param $params i32) (param $count i32) (result i32)
    (call $forget)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store8 offset=4 (i32.const 0) (i32.const 2))
    (i32.const 0))

  ;; Keeps those that have a weight and no state: draining, down or overloaded. Their connections are told right afterwards.
  (func (export "update") (param $backend i32) (param $count i32) (result i32)
    (local $place i32)
    (global.set $end (i32.const 4096))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $place) (local.get $count)))
        (if (i32.and (i32.ne (i32.load offset=4 (local.get $backend)) (i32.const 0))
                     (i32.eqz (i32.load8_u offset=26 (local.get $backend))))
          (then
            (i32.store (global.get $end) (i32.load (local.get $backend)))
            (i32.store offset=4 (global.get $end) (local.get $place))
            (f64.store offset=8 (global.get $end) (f64.const 0))
            (f64.store offset=16 (global.get $end) (f64.convert_i32_u (i32.load offset=4 (local.get $backend))))
            (global.set $end (i32.add (global.get $end) (i32.const 24)))))
        (local.set $backend (i32.add (local.get $backend) (i32.const 28)))
        (local.set $place (i32.add (local.get $place) (i32.const 1)))
        (br $next)))
    (call $forget)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.const 0))

  ;; The connections of each backend, in the order of the last update, from time to time.
  (func (export "observe") (param $active i32) (param $count i32) (param $inactive i32) (param $same_count i32)
    (local $at i32)
    (local.set $at (i32.const 4096))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (global.get $end)))
        (f64.store offset=8 (local.get $at) (f64.convert_i32_u (i32.load
          (i32.add (local.get $active) (i32.shl (i32.load offset=4 (local.get $at)) (i32.const 2))))))
        (local.set $at (i32.add (local.get $at) (i32.const 24)))
        (br $next)))
    (call $forget))

  ;; A connection waits for this. Its client's address in four words, the address asked for, both ports, protocol, firewall
  ;; mark and hash. The answer: 1 at 0 and an id at 4; or 0 at 0, which refuses it.
  (func (export "pick")
    (param i32 i32 i32 i32) (param i32 i32 i32 i32) (param i32 i32) (param $protocol i32) (param $mark i32) (param $hash i32)
    (result i32)
    (local $at i32) (local $best i32) (local $cost f64) (local $least f64)
    (local.set $at (i32.const 4096))
    (local.set $least (f64.const inf))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (global.get $end)))
        ;; How busy one more connection makes it.
        (local.set $cost (f64.div
          (f64.add (f64.load offset=8 (local.get $at)) (f64.const 1))
          (f64.load offset=16 (local.get $at))))
        (if (f64.lt (local.get $cost) (local.get $least))
          (then
            (local.set $least (local.get $cost))
            (local.set $best (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 24)))
        (br $next)))
    (i32.store8 (i32.const 0) (i32.const 0))
    (if (local.get $best)
      (then
        ;; It is not in the counts yet.
        (f64.store offset=8 (local.get $best) (f64.add (f64.load offset=8 (local.get $best)) (f64.const 1)))
        (i32.store8 (i32.const 0) (i32.const 1))
        (i32.store offset=4 (i32.const 0) (i32.load (local.get $best)))))
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

  (func $forget (global.set $heap (i32.const 1576960))))
