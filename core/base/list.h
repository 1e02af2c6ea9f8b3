// What it owns: an intrusive doubly linked list over members `next` and `prev` of T.
// Invariants: first and last are null together; each member's neighbours point back at it.
// Thread-safety: none; the owner serialises.
#pragma once

#include "core/base/check.h"

namespace hakmem {

template <class T>
class List {
 public:
  constexpr List() noexcept = default;

  bool empty() const noexcept { return first_ == nullptr; }
  T* first() const noexcept { return first_; }
  T* last() const noexcept { return last_; }

  void push_front(T* item) noexcept {
    item->prev = nullptr;
    item->next = first_;
    (first_ ? first_->prev : last_) = item;
    first_ = item;
  }

  void push_back(T* item) noexcept {
    item->next = nullptr;
    item->prev = last_;
    (last_ ? last_->next : first_) = item;
    last_ = item;
  }

  void remove(T* item) noexcept {
    INVARIANT(item->prev ? item->prev->next == item : first_ == item);
    INVARIANT(item->next ? item->next->prev == item : last_ == item);
    (item->prev ? item->prev->next : first_) = item->next;
    (item->next ? item->next->prev : last_) = item->prev;
    item->next = item->prev = nullptr;
  }

  T* pop_front() noexcept {
    T* const item = first_;
    if (item) remove(item);
    return item;
  }

  // True when the links are consistent.
  bool validate() const noexcept {
    T* before = nullptr;
    for (T* item = first_; item; before = item, item = item->next)
      if (item->prev != before) return false;
    return last_ == before;
  }

 private:
  T* first_ = nullptr;
  T* last_ = nullptr;
};

}  // namespace hakmem
