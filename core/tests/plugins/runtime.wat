;; What the runtimes of some languages ask of WASI when they start, and traps if an answer is not as it should be.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 256) "example")
  (data (i32.const 272) "args 0, env 0, open 52, exitable")
  (data (i32.const 64) "\00\01\00\00\07\00\00\00" "\00\01\00\00\07\00\00\00" "\10\01\00\00\20\00\00\00"
    "\00\10\00\00\00\00\00\00")
  (data (i32.const 512) "hello from a runtime")
  ;; Two pieces: "hello" and the rest.
  (data (i32.const 544) "\00\02\00\00\05\00\00\00" "\05\02\00\00\0f\00\00\00")

  (func $must (param $so i32) (if (i32.eqz (local.get $so)) (then (call $exit (i32.const 1)))))

  (func (export "_initialize")
    ;; Nothing is there: what was in the way is overwritten with 0.
    (i64.store (i32.const 600) (i64.const -1))
    (call $must (i32.eqz (call $args_sizes (i32.const 600) (i32.const 604))))
    (call $must (i64.eqz (i64.load (i32.const 600))))
    (i64.store (i32.const 600) (i64.const -1))
    (call $must (i32.eqz (call $environ_sizes (i32.const 600) (i32.const 604))))
    (call $must (i64.eqz (i64.load (i32.const 600))))
    ;; The clock goes on.
    (call $must (i32.eqz (call $clock (i32.const 1) (i64.const 1) (i32.const 608))))
    (i64.store (i32.const 624) (i64.load (i32.const 608)))
    (call $must (i32.eqz (call $clock (i32.const 0) (i64.const 1) (i32.const 608))))
    (call $must (i64.gt_u (i64.load (i32.const 608)) (i64.load (i32.const 624))))
    ;; 16 bytes, and not one more.
    (i64.store (i32.const 640) (i64.const 0))
    (i32.store (i32.const 656) (i32.const 0x5a5a5a5a))
    (call $must (i32.eqz (call $random (i32.const 640) (i32.const 16))))
    (call $must (i64.ne (i64.load (i32.const 640)) (i64.load (i32.const 648))))
    (call $must (i32.eq (i32.load (i32.const 656)) (i32.const 0x5a5a5a5a)))
    (call $must (i32.eqz (call $write (i32.const 1) (i32.const 544) (i32.const 2) (i32.const 616))))
    (call $must (i32.eq (i32.load (i32.const 616)) (i32.const 20)))
    ;; No third file, no directory, and none to be opened.
    (call $must (i32.eq (call $write (i32.const 3) (i32.const 544) (i32.const 2) (i32.const 616)) (i32.const 8)))
    (call $must (i32.eq (call $prestat (i32.const 3) (i32.const 616)) (i32.const 8)))
    (call $must (i32.eq (call $open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 5) (i32.const 0)
      (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 620)) (i32.const 52)))
    (i32.store (i32.const 1024) (i32.const 1)))

  (func (export "describe") (result i32)
    (call $must (i32.load (i32.const 1024)))
    (i32.const 64))
  (func (export "configure") (param i32 i32) (result i32) (i64.store (i32.const 0) (i64.const 0)) (i32.const 0))
  (func (export "update") (param i32 i32) (result i32) (i64.store (i32.const 0) (i64.const 0)) (i32.const 0))
  (func (export "fill") (param $slots i32) (result i32)
    (memory.fill (i32.const 8192) (i32.const 0xff) (i32.shl (local.get $slots) (i32.const 2)))
    (i32.store (i32.const 0) (i32.const 0))
    (i32.store (i32.const 4) (i32.const 8192))
    (i32.store (i32.const 8) (local.get $slots))
    (i32.const 0))
  ;; A garbage collector looks at the clock, and that may be just now.
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (call $must (i32.eqz (call $clock (i32.const 1) (i64.const 1) (i32.const 608))))
    (i32.const 32768)))
