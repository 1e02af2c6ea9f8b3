#!/usr/bin/env python3
"""Tests of the translator: what it does not know it refuses, and what it knows it means."""
import subprocess
import unittest

import ir_to_smt


def function(body, result="i32", parameters="i32 noundef %a, i32 noundef %b"):
    return f"define dso_local {result} @f({parameters}) local_unnamed_addr #0 {{\nentry:\n{body}\n}}\n"


def solve(module, query):
    text = "(set-logic QF_BV)\n" + "".join(ir_to_smt.translate(module).values()) + query + "(check-sat)\n"
    return subprocess.run(["cvc5"], input=text, capture_output=True, text=True, check=True).stdout.strip()


class Refuses(unittest.TestCase):
    def refused(self, body, **kind):
        with self.assertRaises(ir_to_smt.Rejected):
            ir_to_smt.translate(function(body, **kind))

    def test_memory(self):
        self.refused("  %v = load i32, ptr %a, align 4\n  ret i32 %v")
        self.refused("  store i32 %a, ptr %b, align 4\n  ret i32 %a")

    def test_pointers_into_larger_things(self):
        self.refused("  %p = inttoptr i64 %a to ptr\n  %q = getelementptr inbounds i32, ptr %p, i64 1\n"
                     "  %v = ptrtoint ptr %q to i64\n  ret i64 %v", result="i64", parameters="i64 noundef %a")

    def test_calls(self):
        self.refused("  %v = call i32 @g(i32 %a)\n  ret i32 %v")
        self.refused("  %v = tail call i32 @llvm.bitreverse.i32(i32 %a)\n  ret i32 %v")

    def test_unknown_flags(self):
        self.refused("  %v = add fast i32 %a, %b\n  ret i32 %v")
        self.refused("  %c = icmp samesign ult i32 %a, %b\n  %v = zext i1 %c to i32\n  ret i32 %v")

    def test_unknown_operands(self):
        self.refused("  %v = add i32 %a, undef\n  ret i32 %v")
        self.refused("  %v = add i32 %a, poison\n  ret i32 %v")

    def test_other_types(self):
        self.refused("  %v = fadd double %a, %b\n  ret i32 %v")
        self.refused("  ret void", result="void")
        self.refused("  ret i32 0", parameters="ptr noundef %a")

    def test_loops(self):
        self.refused("  br label %loop\n\nloop:\n  %v = phi i32 [ %a, %entry ], [ %n, %loop ]\n"
                     "  %n = lshr i32 %v, 1\n  %c = icmp eq i32 %n, 0\n  br i1 %c, label %end, label %loop\n\n"
                     "end:\n  ret i32 %n")

    def test_switch(self):
        self.refused("  switch i32 %a, label %x [ i32 1, label %y ]\n\nx:\n  ret i32 1\n\ny:\n  ret i32 2")


class Means(unittest.TestCase):
    def agree(self, body, expected):
        """f(a, b) = expected for all a and b; and another value is told apart."""
        free = "(declare-const a (_ BitVec 32))(declare-const b (_ BitVec 32))"
        self.assertEqual(solve(function(body), f"{free}(assert (not (= (f a b) {expected})))"), "unsat")
        self.assertEqual(solve(function(body), f"{free}(assert (not (= (f a b) (bvadd #x00000001 {expected}))))"), "sat")

    def test_branches(self):
        self.agree("  %c = icmp ult i32 %a, %b\n  br i1 %c, label %x, label %end\n\nx:\n  %v = sub i32 %b, %a\n"
                   "  br label %end\n\nend:\n  %r = phi i32 [ %a, %entry ], [ %v, %x ]\n  ret i32 %r",
                   "(ite (bvult a b) (bvsub b a) a)")

    def test_two_returns(self):
        self.agree("  %c = icmp eq i32 %a, 3\n  br i1 %c, label %x, label %y\n\nx:\n  ret i32 %b\n\ny:\n  ret i32 7",
                   "(ite (= a #x00000003) b #x00000007)")

    def test_limits_and_selects(self):
        self.agree("  %v = tail call i32 @llvm.umax.i32(i32 %a, i32 %b)\n  ret i32 %v", "(ite (bvult a b) b a)")

    def test_counts_of_zeros_and_ones(self):
        for name, value, count in (("ctlz", 0, 32), ("ctlz", 1, 31), ("ctlz", 0x80000000, 0), ("cttz", 0, 32),
                                   ("cttz", 8, 3), ("cttz", 0x80000000, 31), ("ctlz", 0x00070000, 13)):
            body = f"  %v = tail call range(i32 0, 33) i32 @llvm.{name}.i32(i32 %a, i1 false)\n  ret i32 %v"
            self.assertEqual(solve(function(body), f"(assert (= (f (_ bv{value} 32) #x00000000) (_ bv{count} 32)))"), "sat")
        body = "  %v = tail call i32 @llvm.ctpop.i32(i32 %a)\n  ret i32 %v"
        self.assertEqual(solve(function(body), "(assert (= (f #xf0000001 #x00000000) #x00000005))"), "sat")

    def test_flags_are_conditions(self):
        for flag, left, right, holds in (("nuw", 0xFFFFFFFF, 1, False), ("nuw", 0xFFFFFFFE, 1, True),
                                         ("nsw", 0x7FFFFFFF, 1, False), ("nsw", 0xFFFFFFFF, 1, True)):
            body = f"  %v = add {flag} i32 %a, %b\n  ret i32 %v"
            query = f"(assert (f.defined (_ bv{left} 32) (_ bv{right} 32)))"
            self.assertEqual(solve(function(body), query), "sat" if holds else "unsat")

    def test_wide_shifts_and_division_by_zero_are_undefined(self):
        shift, divide = ("  %v = shl i32 %a, %b\n  ret i32 %v", "  %v = udiv i32 %a, %b\n  ret i32 %v")
        self.assertEqual(solve(function(shift), "(assert (f.defined #x00000001 #x00000020))"), "unsat")
        self.assertEqual(solve(function(shift), "(assert (f.defined #x00000001 #x0000001f))"), "sat")
        self.assertEqual(solve(function(divide), "(assert (f.defined #x00000001 #x00000000))"), "unsat")

    def test_pointers_stay_inside_the_address_space(self):
        body = ("  %p = inttoptr i64 %a to ptr\n  %q = getelementptr inbounds i8, ptr %p, i64 %b\n"
                "  %v = ptrtoint ptr %q to i64\n  ret i64 %v")
        module = function(body, result="i64", parameters="i64 noundef %a, i64 noundef %b")
        for pointer, bytes, holds in ((2**64 - 1, 1, False), (8, 2**64 - 8, True), (8, 2**64 - 9, False)):
            query = f"(assert (f.defined (_ bv{pointer} 64) (_ bv{bytes} 64)))"
            self.assertEqual(solve(module, query), "sat" if holds else "unsat")
        self.assertEqual(solve(module, "(assert (= (f (_ bv40 64) (_ bv2 64)) (_ bv42 64)))"), "sat")


if __name__ == "__main__":
    unittest.main()
