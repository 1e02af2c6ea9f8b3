;; Words that the goals share. `(word N)` and `(half N)` are written out by the runner.
(set-logic QF_BV)
(define-sort Word () (_ BitVec 64))
(define-sort Half () (_ BitVec 32))
(define-fun power-of-two ((x Word)) Bool (and (not (= x #x0000000000000000)) (= (bvand x (bvsub x #x0000000000000001)) #x0000000000000000)))
(define-fun multiple-of-power ((x Word) (power Word)) Bool (= (bvand x (bvsub power #x0000000000000001)) #x0000000000000000))
(define-fun bit ((x Word) (i Word)) Bool (= (bvand (bvlshr x i) #x0000000000000001) #x0000000000000001))
(define-fun slab-in ((set Half) (i Half)) Bool (= (bvand (bvlshr set i) #x00000001) #x00000001))
