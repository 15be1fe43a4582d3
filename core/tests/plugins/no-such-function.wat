;; Calls something that the host does not have.
(module
  (import "wvs:scheduler/host@0.1.9" "read-file" (func (result i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "describe") (result i32) (i32.const 0))
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  (func (export "update") (param i32 i32) (result i32) (i32.const 0))
  (func (export "fill") (param i32) (result i32) (i32.const 0)))
