;; A round robin without weights that never gives back what it was handed, but for the answers it writes over.
(module
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))
  (global $count (mut i32) (i32.const 0))
  (data (i32.const 64) "leaky")
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32) (local $missing i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (local.set $missing
      (i32.sub (i32.div_u (i32.add (global.get $heap) (i32.const 65535)) (i32.const 65536)) (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then (if (i32.lt_s (memory.grow (local.get $missing)) (i32.const 0)) (then unreachable))))
    (local.get $at))
  (func (export "describe") (result i32)
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store offset=4 (i32.const 0) (i32.const 5))
    (i32.const 0))
  (func (export "configure") (param i32 i32) (result i32) (i32.const 256))
  ;; The ids of the usable backends at 8192; 28 bytes each: id, weight, address, port, state.
  (func (export "update") (param $backends i32) (param $left i32) (result i32)
    (global.set $count (i32.const 0))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (if (i32.and (i32.ne (i32.load offset=4 (local.get $backends)) (i32.const 0))
                     (i32.eqz (i32.load8_u offset=26 (local.get $backends))))
          (then
            (i32.store offset=8192 (i32.mul (global.get $count) (i32.const 4)) (i32.load (local.get $backends)))
            (global.set $count (i32.add (global.get $count) (i32.const 1)))))
        (local.set $backends (i32.add (local.get $backends) (i32.const 28)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (i32.const 256))
  (func (export "fill") (param $slots i32) (result i32)
    (local $slot i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $slot) (local.get $slots)))
        (i32.store offset=32768 (i32.mul (local.get $slot) (i32.const 4))
          (if (result i32) (global.get $count)
            (then (i32.load offset=8192
              (i32.mul (i32.rem_u (local.get $slot) (global.get $count)) (i32.const 4))))
            (else (i32.const -1))))
        (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
        (br $next)))
    (i32.store offset=516 (i32.const 0) (i32.const 32768))
    (i32.store offset=520 (i32.const 0) (local.get $slots))
    (i32.const 512)))
