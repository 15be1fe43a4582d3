;; fill takes a 64-bit integer here.
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "describe") (result i32) (i32.const 0))
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  (func (export "update") (param i32 i32) (result i32) (i32.const 0))
  (func (export "fill") (param i64) (result i32) (i32.const 0)))
