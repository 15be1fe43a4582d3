;; Has no name.
(module
  (memory (export "memory") 1)
  (data (i32.const 64) "")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "describe") (result i32)
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store offset=4 (i32.const 0) (i32.const 0))
    (i32.const 0))
  (func (export "configure") (param i32 i32) (result i32)
    (i32.const 256))
  (func (export "update") (param i32 i32) (result i32) (i32.const 256))
  (func (export "fill") (param i32) (result i32) (i32.const 256)))
