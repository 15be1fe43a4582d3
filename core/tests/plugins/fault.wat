;; A scheduler that misbehaves when it is told to, for tests of the director.
;;
;; Until then it is a round robin without weights. Parameters:
;;   fault     none | trap | loop | memory | deep | wrong-id | short | huge | outside | refuse | utf8 | busy
;;   call      configure | update | fill | pick: where the fault happens
;;   after     how many such calls go well before it
;;   dispatch  cycle | per-flow: whether it makes tables or is asked for each connection
;;
;; Written by hand against the canonical ABI, with bare names: arguments lie in memory that the
;; director asks of cabi_realloc, and results at an address that is returned.
(module
  (import "wvs" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 2)

  ;; 0: the result of every call. 64: describe's answer. 256: texts. 1024: descriptions of the
  ;; parameters. 4096: ids of the usable backends, room for 15 thousand. 65536: everything else.
  (global $heap (mut i32) (i32.const 65536))
  (global $usable (mut i32) (i32.const 0))
  ;; The first letter of each of these parameters says enough.
  (global $fault (mut i32) (i32.const 110))
  (global $call (mut i32) (i32.const 102))
  (global $left (mut i32) (i32.const 0))
  ;; What it answers to configure: cycle is 0, per-flow 2.
  (global $dispatch (mut i32) (i32.const 0))
  (global $turn (mut i32) (i32.const 0))

  (data (i32.const 256) "fault")
  (data (i32.const 264) "0.1.0")
  (data (i32.const 272) "misbehaves when told to, for tests")
  (data (i32.const 320) "call")
  (data (i32.const 328) "after")
  (data (i32.const 336) "none")
  (data (i32.const 344) "fill")
  (data (i32.const 352) "0")
  (data (i32.const 360) "as it was told")
  (data (i32.const 384) "trap")
  (data (i32.const 392) "loop")
  (data (i32.const 400) "memory")
  (data (i32.const 408) "deep")
  (data (i32.const 416) "wrong-id")
  (data (i32.const 424) "short")
  (data (i32.const 432) "huge")
  (data (i32.const 440) "outside")
  (data (i32.const 448) "refuse")
  (data (i32.const 456) "utf8")
  (data (i32.const 464) "configure")
  (data (i32.const 480) "update")
  (data (i32.const 488) "\ff\fe")
  (data (i32.const 496) "busy")
  (data (i32.const 504) "pick")
  (data (i32.const 512) "dispatch")
  (data (i32.const 528) "cycle")
  (data (i32.const 536) "per-flow")

  ;; name, version, summary, params: pointer and length each
  (data (i32.const 64)
    "\00\01\00\00\05\00\00\00" "\08\01\00\00\05\00\00\00" "\10\01\00\00\22\00\00\00" "\00\04\00\00\04\00\00\00")
  ;; key, kind (choice is 3, integer 2), its words or range, default, help: 36 bytes each
  (data (i32.const 1024)
    "\00\01\00\00\05\00\00\00" "\03\00\00\00" "\00\05\00\00\0c\00\00\00" "\50\01\00\00\04\00\00\00" "\68\01\00\00\00\00\00\00"
    "\40\01\00\00\04\00\00\00" "\03\00\00\00" "\80\05\00\00\04\00\00\00" "\58\01\00\00\04\00\00\00" "\68\01\00\00\00\00\00\00"
    "\48\01\00\00\05\00\00\00" "\02\00\00\00" "\00\00\00\00\40\42\0f\00" "\60\01\00\00\01\00\00\00" "\68\01\00\00\00\00\00\00"
    "\00\02\00\00\08\00\00\00" "\03\00\00\00" "\c0\05\00\00\02\00\00\00" "\10\02\00\00\05\00\00\00" "\68\01\00\00\00\00\00\00")
  (data (i32.const 1280)
    "\50\01\00\00\04\00\00\00" "\80\01\00\00\04\00\00\00" "\88\01\00\00\04\00\00\00" "\90\01\00\00\06\00\00\00"
    "\98\01\00\00\04\00\00\00" "\a0\01\00\00\08\00\00\00" "\a8\01\00\00\05\00\00\00" "\b0\01\00\00\04\00\00\00"
    "\b8\01\00\00\07\00\00\00" "\c0\01\00\00\06\00\00\00" "\c8\01\00\00\04\00\00\00"
    "\f0\01\00\00\04\00\00\00")
  (data (i32.const 1408)
    "\d0\01\00\00\09\00\00\00" "\e0\01\00\00\06\00\00\00" "\58\01\00\00\04\00\00\00" "\f8\01\00\00\04\00\00\00")
  (data (i32.const 1472)
    "\10\02\00\00\05\00\00\00" "\18\02\00\00\08\00\00\00")

  ;; Only ever takes more; each call gives all back when it is done with its arguments.
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
               (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (call $reach (global.get $heap))
    (local.get $at))

  ;; Makes the memory reach this far.
  (func $reach (param $end i32)
    (local $missing i32)
    (local.set $missing
      (i32.sub (i32.div_u (i32.add (local.get $end) (i32.const 65535)) (i32.const 65536)) (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then (if (i32.lt_s (memory.grow (local.get $missing)) (i32.const 0)) (then unreachable)))))

  (func (export "describe") (result i32) (i32.const 64))

  (func (export "configure") (param $params i32) (param $count i32) (result i32)
    (local $key i32) (local $value i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $key (i32.load8_u (i32.load (local.get $params))))
        (local.set $value (i32.load offset=8 (local.get $params)))
        (if (i32.eq (local.get $key) (i32.const 102)) ;; f
          (then (global.set $fault (i32.load8_u (local.get $value)))))
        (if (i32.eq (local.get $key) (i32.const 99)) ;; c
          (then (global.set $call (i32.load8_u (local.get $value)))))
        (if (i32.eq (local.get $key) (i32.const 97)) ;; a
          (then (global.set $left (call $number (local.get $value) (i32.load offset=12 (local.get $params))))))
        (if (i32.eq (local.get $key) (i32.const 100)) ;; d
          (then (if (i32.eq (i32.load8_u (local.get $value)) (i32.const 112)) ;; p
            (then (global.set $dispatch (i32.const 2))))))
        (local.set $params (i32.add (local.get $params) (i32.const 16)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (global.set $heap (i32.const 65536))
    (if (call $due (i32.const 99)) (then (call $misbehave)))
    ;; ok(cycle) or ok(per-flow), unless the result was made an error
    (i32.store8 offset=4 (i32.const 0) (global.get $dispatch))
    (call $answer (i32.const 99)))

  (func $number (param $at i32) (param $length i32) (result i32)
    (local $number i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $length)))
        (local.set $number
          (i32.add (i32.mul (local.get $number) (i32.const 10))
                   (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $length (i32.sub (local.get $length) (i32.const 1)))
        (br $next)))
    (local.get $number))

  ;; A backend is 28 bytes: id, weight, four words of address, port, state.
  (func (export "update") (param $backends i32) (param $count i32) (result i32)
    (global.set $usable (i32.const 0))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (if (i32.and (i32.ne (i32.load offset=4 (local.get $backends)) (i32.const 0))
                     (i32.eqz (i32.load8_u offset=26 (local.get $backends))))
          (then
            (i32.store offset=4096 (i32.mul (global.get $usable) (i32.const 4)) (i32.load (local.get $backends)))
            (global.set $usable (i32.add (global.get $usable) (i32.const 1)))))
        (local.set $backends (i32.add (local.get $backends) (i32.const 28)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (global.set $heap (i32.const 65536))
    (if (call $due (i32.const 117)) (then (call $misbehave)))
    (call $answer (i32.const 117)))

  (func (export "fill") (param $slots i32) (result i32)
    (local $slot i32) (local $id i32) (local $due i32)
    (call $reach (i32.add (i32.const 65536) (i32.mul (local.get $slots) (i32.const 4))))
    (local.set $slot (i32.const 0))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $slot) (local.get $slots)))
        (local.set $id (i32.const -1))
        (if (global.get $usable)
          (then (local.set $id
            (i32.load offset=4096
              (i32.mul (i32.rem_u (local.get $slot) (global.get $usable)) (i32.const 4))))))
        (i32.store offset=65536 (i32.mul (local.get $slot) (i32.const 4)) (local.get $id))
        (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
        (br $next)))
    (i32.store offset=4 (i32.const 0) (i32.const 65536))
    (i32.store offset=8 (i32.const 0) (local.get $slots))
    (if (call $due (i32.const 102))
      (then
        (call $misbehave)
        (if (i32.eq (global.get $fault) (i32.const 119)) ;; wrong-id
          (then (i32.store offset=65536 (i32.const 0) (i32.const 4711))))
        (if (i32.eq (global.get $fault) (i32.const 115)) ;; short
          (then (i32.store offset=8 (i32.const 0) (i32.sub (local.get $slots) (i32.const 1)))))
        (if (i32.eq (global.get $fault) (i32.const 104)) ;; huge: there is memory for it, but who wants it
          (then
            (call $reach (i32.const 33554432))
            (i32.store offset=8 (i32.const 0) (i32.const 8000000))))
        (if (i32.eq (global.get $fault) (i32.const 111)) ;; outside
          (then (i32.store offset=4 (i32.const 0) (i32.const 0x7ffffff0))))))
    (call $answer (i32.const 102)))

  ;; The answer is an option: 0 for none, or 1 and the id.
  (func (export "pick")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (i32.store8 (i32.const 0) (i32.const 0))
    (if (global.get $usable)
      (then
        (i32.store8 (i32.const 0) (i32.const 1))
        (i32.store offset=4 (i32.const 0)
          (i32.load offset=4096
            (i32.mul (i32.rem_u (global.get $turn) (global.get $usable)) (i32.const 4))))))
    (global.set $turn (i32.add (global.get $turn) (i32.const 1)))
    (if (call $due (i32.const 112))
      (then
        (global.set $call (i32.const 112))
        (call $misbehave)
        (if (i32.eq (global.get $fault) (i32.const 119)) ;; wrong-id
          (then
            (i32.store8 (i32.const 0) (i32.const 1))
            (i32.store offset=4 (i32.const 0) (i32.const 4711))))
        (if (i32.eq (global.get $fault) (i32.const 115)) ;; short: neither none nor some
          (then (i32.store8 (i32.const 0) (i32.const 7))))
        (if (i32.eq (global.get $fault) (i32.const 111)) ;; outside
          (then (return (i32.const 0x7ffffff0))))))
    (i32.const 0))

  ;; Whether the fault is to happen in this call, which is told by its first letter.
  (func $due (param $call i32) (result i32)
    (if (i32.or (i32.ne (local.get $call) (global.get $call)) (i32.eq (global.get $fault) (i32.const 110)))
      (then (return (i32.const 0))))
    (if (global.get $left)
      (then
        (global.set $left (i32.sub (global.get $left) (i32.const 1)))
        (return (i32.const 0))))
    (global.set $call (i32.or (global.get $call) (i32.const 256)))
    (i32.const 1))

  ;; The faults that need no answer to spoil.
  (func $misbehave
    (if (i32.eq (global.get $fault) (i32.const 116)) ;; trap
      (then
        (call $log (i32.const 0) (i32.const 360) (i32.const 14))
        unreachable))
    (if (i32.eq (global.get $fault) (i32.const 108)) ;; loop
      (then (loop $forever (br $forever))))
    (if (i32.eq (global.get $fault) (i32.const 98)) ;; busy: comes to an end, but not today
      (then (call $busy)))
    (if (i32.eq (global.get $fault) (i32.const 109)) ;; memory
      (then (loop $more (br_if $more (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0))) unreachable)))
    (if (i32.eq (global.get $fault) (i32.const 100)) ;; deep
      (then (drop (call $deep (i32.const 1))))))

  (func $busy
    (local $left i64)
    (local.set $left (i64.const 1000000000000))
    (loop $more
      (local.set $left (i64.sub (local.get $left) (i64.const 1)))
      (br_if $more (i64.ne (local.get $left) (i64.const 0)))))

  (func $deep (param $n i32) (result i32)
    (i32.add (call $deep (i32.add (local.get $n) (i32.const 1))) (local.get $n)))

  ;; The address of the result: ok, or an error if this call is the one that spoils it.
  (func $answer (param $call i32) (result i32)
    (i32.store8 (i32.const 0) (i32.const 0))
    (if (i32.eq (global.get $call) (i32.or (local.get $call) (i32.const 256)))
      (then
        (global.set $call (local.get $call))
        (if (i32.or (i32.eq (global.get $fault) (i32.const 114)) (i32.eq (global.get $fault) (i32.const 117)))
          (then
            (i32.store8 (i32.const 0) (i32.const 1))
            (i32.store offset=4 (i32.const 0) (i32.const 360))
            (i32.store offset=8 (i32.const 0) (i32.const 14))
            (if (i32.eq (global.get $fault) (i32.const 117)) ;; utf8
              (then
                (i32.store offset=4 (i32.const 0) (i32.const 488))
                (i32.store offset=8 (i32.const 0) (i32.const 2))))))))
    (i32.const 0)))
