;; A scheduler for tests: gives everything to the first backend, and gives up for good while there are
;; fewer than three.
(module
  (memory (export "memory") 2)

  ;; 0: the result of every call. 64: describe's answer. 256: texts. 65536: everything else.
  (global $heap (mut i32) (i32.const 65536))
  (global $first (mut i32) (i32.const -1))

  (data (i32.const 256) "shy")
  (data (i32.const 264) "0.1.0")
  (data (i32.const 272) "gives up below three backends")
  ;; name, version, summary, params: pointer and length each
  (data (i32.const 64)
    "\00\01\00\00\03\00\00\00" "\08\01\00\00\05\00\00\00" "\10\01\00\00\1d\00\00\00" "\00\00\00\00\00\00\00\00")

  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
               (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (local.get $at))

  (func (export "describe") (result i32) (i32.const 64))

  ;; ok(cycle)
  (func (export "configure") (param i32 i32) (result i32)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store8 offset=4 (i32.const 0) (i32.const 0))
    (global.set $heap (i32.const 65536))
    (i32.const 0))

  ;; A backend is 28 bytes and begins with its id.
  (func (export "update") (param $backends i32) (param $count i32) (result i32)
    (if (i32.lt_u (local.get $count) (i32.const 3)) (then unreachable))
    (global.set $first (i32.load (local.get $backends)))
    (global.set $heap (i32.const 65536))
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.const 0))

  (func (export "fill") (param $slots i32) (result i32)
    (local $slot i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $slot) (local.get $slots)))
        (i32.store offset=65536 (i32.mul (local.get $slot) (i32.const 4)) (global.get $first))
        (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
        (br $next)))
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store offset=4 (i32.const 0) (i32.const 65536))
    (i32.store offset=8 (i32.const 0) (local.get $slots))
    (i32.const 0)))
