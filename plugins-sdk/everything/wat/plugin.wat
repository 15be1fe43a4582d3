;; For tests of the contract in memory: parameters of each kind, connections, latencies, a timer, refusals, the host.
;;
;; All slots are one backend's: the fastest, of equals that with the fewest connections, of equals the first.
(module
  (import "wvs" "log" (func $log (param i32 i32 i32)))
  (import "wvs" "random" (func $random (result i32)))
  (import "wvs" "now" (func $now (result f64)))
  (memory (export "memory") 17)

  ;; 0: the results. 64: the description. 480: the words of a choice. 512: the parameters. 1024: texts. 4096: the backends,
  ;; 16 bytes each: id, whether it is usable, connections, microseconds. 1052672: arguments and tables.
  (global $end (mut i32) (i32.const 4096))
  (global $heap (mut i32) (i32.const 1052672))
  (global $first (mut i32) (i32.const 0))
  (global $pause (mut i32) (i32.const 0))

  (data (i32.const 1024)
    "everything" "1.2.3" "for tests of the glue" "who" "first" "idlest" "who it is" "size" "0"
    "tenths of a second until the next table" "hashed" "false" "by the port too" "note" "refused if it is bad"
    "note must not be bad" "how odd" "true" "bad")
  (data (i32.const 64)
    "\00\04\00\00\0a\00\00\00" "\0a\04\00\00\05\00\00\00" "\0f\04\00\00\15\00\00\00" "\00\02\00\00\04\00\00\00")
  (data (i32.const 480) "\27\04\00\00\05\00\00\00\2c\04\00\00\06\00\00\00")
  ;; Key, kind, what the kind allows, default, help.
  (data (i32.const 512)
    "\24\04\00\00\03\00\00\00" "\03\00\00\00" "\e0\01\00\00\02\00\00\00" "\2c\04\00\00\06\00\00\00" "\32\04\00\00\09\00\00\00"
    "\3b\04\00\00\04\00\00\00" "\02\00\00\00" "\fd\ff\ff\ff\07\00\00\00" "\3f\04\00\00\01\00\00\00" "\40\04\00\00\27\00\00\00"
    "\67\04\00\00\06\00\00\00" "\01\00\00\00" "\00\00\00\00\00\00\00\00" "\6d\04\00\00\05\00\00\00" "\72\04\00\00\0f\00\00\00"
    "\81\04\00\00\04\00\00\00" "\00\00\00\00" "\00\00\00\00\00\00\00\00" "\01\00\00\00\00\00\00\00" "\85\04\00\00\14\00\00\00")

  (func (export "describe") (result i32) (i32.const 64))

  ;; Whether the text there is this one.
  (func $is (param $text i32) (param $at i32) (param $length i32) (result i32)
    (local $n i32)
    (if (i32.ne (i32.load offset=4 (local.get $text)) (local.get $length)) (then (return (i32.const 0))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $n) (local.get $length)))
        (if (i32.ne (i32.load8_u (i32.add (i32.load (local.get $text)) (local.get $n)))
                    (i32.load8_u (i32.add (local.get $at) (local.get $n))))
          (then (return (i32.const 0))))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br $next)))
    (i32.const 1))

  (func (export "configure") (param $param i32) (param $count i32) (result i32)
    (local $value i32) (local $hashed i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $value (i32.add (local.get $param) (i32.const 8)))
        (if (i32.and (call $is (local.get $param) (i32.const 1153) (i32.const 4))
                     (call $is (local.get $value) (i32.const 1208) (i32.const 3)))
          (then
            (call $forget)
            (i32.store8 (i32.const 0) (i32.const 1))
            (i32.store offset=4 (i32.const 0) (i32.const 1177))
            (i32.store offset=8 (i32.const 0) (i32.const 20))
            (return (i32.const 0))))
        (if (call $is (local.get $param) (i32.const 1060) (i32.const 3))
          (then (global.set $first (call $is (local.get $value) (i32.const 1063) (i32.const 5)))))
        (if (call $is (local.get $param) (i32.const 1127) (i32.const 6))
          (then (local.set $hashed (call $is (local.get $value) (i32.const 1204) (i32.const 4)))))
        (if (call $is (local.get $param) (i32.const 1083) (i32.const 4))
          (then (global.set $pause (call $tenths (local.get $value)))))
        (local.set $param (i32.add (local.get $param) (i32.const 16)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (if (i32.or (f64.lt (call $now) (f64.const 0)) (i32.eq (call $random) (call $random)))
      (then (call $log (i32.const 1) (i32.const 1197) (i32.const 7))))
    (call $forget)
    (i32.store8 (i32.const 0) (i32.const 0))
    ;; Hash of source and port, or cycle.
    (i32.store8 offset=4 (i32.const 0) (local.get $hashed))
    (i32.store8 offset=5 (i32.const 0) (i32.const 1))
    (i32.const 0))

  ;; The milliseconds of a number of one digit; none of a negative one.
  (func $tenths (param $text i32) (result i32)
    (if (i32.ne (i32.load offset=4 (local.get $text)) (i32.const 1)) (then (return (i32.const 0))))
    (i32.mul (i32.const 100) (i32.sub (i32.load8_u (i32.load (local.get $text))) (i32.const 48))))

  (func (export "update") (param $backend i32) (param $count i32) (result i32)
    (global.set $end (i32.const 4096))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (i32.store (global.get $end) (i32.load (local.get $backend)))
        (i32.store offset=4 (global.get $end)
          (i32.and (i32.ne (i32.load offset=4 (local.get $backend)) (i32.const 0))
                   (i32.eqz (i32.load8_u offset=26 (local.get $backend)))))
        (i32.store offset=8 (global.get $end) (i32.const 0))
        (i32.store offset=12 (global.get $end) (i32.const -1))
        (global.set $end (i32.add (global.get $end) (i32.const 16)))
        (local.set $backend (i32.add (local.get $backend) (i32.const 28)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (call $forget)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.const 0))

  (func (export "observe") (param $active i32) (param $count i32) (param $inactive i32) (param $same_count i32)
    (call $take_in (i32.const 4104) (local.get $active) (local.get $count)))

  (func (export "due") (result i32) (global.get $pause))

  (func (export "interval") (result i32) (i32.const 250))

  (func (export "observe-latency") (param $micros i32) (param $count i32)
    (call $take_in (i32.const 4108) (local.get $micros) (local.get $count)))

  ;; A number for each backend.
  (func $take_in (param $to i32) (param $from i32) (param $count i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (i32.store (local.get $to) (i32.load (local.get $from)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (local.set $from (i32.add (local.get $from) (i32.const 4)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (call $forget))

  (func (export "fill") (param $slots i32) (result i32)
    (local $table i32) (local $slot i32) (local $at i32) (local $best i32) (local $id i32)
    (local.set $at (i32.const 4096))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (global.get $end)))
        (if (i32.and (i32.load offset=4 (local.get $at)) (call $is_better (local.get $at) (local.get $best)))
          (then (local.set $best (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
    (local.set $id (i32.const -1))
    (if (local.get $best) (then (local.set $id (i32.load (local.get $best)))))
    (local.set $table (call $take (i32.shl (local.get $slots) (i32.const 2))))
    (block $full
      (loop $next
        (br_if $full (i32.ge_u (local.get $slot) (local.get $slots)))
        (i32.store (i32.add (local.get $table) (i32.shl (local.get $slot) (i32.const 2))) (local.get $id))
        (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
        (br $next)))
    (call $forget)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store offset=4 (i32.const 0) (local.get $table))
    (i32.store offset=8 (i32.const 0) (local.get $slots))
    (i32.const 0))

  ;; Whether a backend is better than the best so far, which is 0 if there is none.
  (func $is_better (param $one i32) (param $best i32) (result i32)
    (local $mine i32) (local $theirs i32)
    (if (i32.eqz (local.get $best)) (then (return (i32.const 1))))
    (if (global.get $first) (then (return (i32.const 0))))
    (local.set $mine (i32.load offset=12 (local.get $one)))
    (local.set $theirs (i32.load offset=12 (local.get $best)))
    (if (i32.ne (local.get $mine) (local.get $theirs))
      (then (return (i32.lt_u (local.get $mine) (local.get $theirs)))))
    (i32.lt_u (i32.load offset=8 (local.get $one)) (i32.load offset=8 (local.get $best))))

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

  (func $forget (global.set $heap (i32.const 1052672))))
