;; Wants the network, as a component built with all of WASI does.
(component
  (import "wasi:sockets/network@0.2.0" (instance)))
