;; A scheduler for tests that decides for each connection: the first usable backend gets it. Clients whose address ends in
;; the byte 0x0b or 0x11 (10.0.0.11, fd00:a::11) get nobody while fewer than three backends are usable.
(module
  (memory (export "memory") 2)

  ;; 0: the result of every call. 64: describe's answer. 256: texts. 65536: arguments.
  (global $heap (mut i32) (i32.const 65536))
  (global $usable (mut i32) (i32.const 0))
  (global $first (mut i32) (i32.const 0))

  (data (i32.const 256) "picky")
  (data (i32.const 264) "0.1.0")
  (data (i32.const 272) "has nobody for some")
  ;; name, version, summary, params: pointer and length each
  (data (i32.const 64)
    "\00\01\00\00\05\00\00\00" "\08\01\00\00\05\00\00\00" "\10\01\00\00\13\00\00\00" "\00\00\00\00\00\00\00\00")

  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
               (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (local.get $at))

  (func (export "describe") (result i32) (i32.const 64))

  ;; ok(per-flow)
  (func (export "configure") (param i32 i32) (result i32)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store8 offset=4 (i32.const 0) (i32.const 2))
    (global.set $heap (i32.const 65536))
    (i32.const 0))

  ;; A backend is 28 bytes: id, weight, four words of address, port, state.
  (func (export "update") (param $backends i32) (param $count i32) (result i32)
    (global.set $usable (i32.const 0))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (if (i32.and (i32.ne (i32.load offset=4 (local.get $backends)) (i32.const 0))
                     (i32.eqz (i32.load8_u offset=26 (local.get $backends))))
          (then
            (if (i32.eqz (global.get $usable))
              (then (global.set $first (i32.load (local.get $backends)))))
            (global.set $usable (i32.add (global.get $usable) (i32.const 1)))))
        (local.set $backends (i32.add (local.get $backends) (i32.const 28)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (global.set $heap (i32.const 65536))
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.const 0))

  ;; The client's address is the first four words. The answer is an option: 0 for none, or 1 and the id.
  (func (export "pick")
    (param i32 i32 i32) (param $host i32) (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (local $byte i32)
    (local.set $byte (i32.and (local.get $host) (i32.const 0xff)))
    (i32.store8 (i32.const 0)
      (i32.and
        (i32.ne (global.get $usable) (i32.const 0))
        (i32.or
          (i32.ge_u (global.get $usable) (i32.const 3))
          (i32.and (i32.ne (local.get $byte) (i32.const 0x0b)) (i32.ne (local.get $byte) (i32.const 0x11))))))
    (i32.store offset=4 (i32.const 0) (global.get $first))
    (i32.const 0)))
