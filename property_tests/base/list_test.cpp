// The intrusive list against a std::list.
#include "core/base/list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <random>
#include <vector>

namespace hakmem {
namespace {

struct Item {
  Item* next = nullptr;
  Item* prev = nullptr;
};

void expect_equal(List<Item> const& list, std::list<Item*> const& model) {
  ASSERT_TRUE(list.validate());
  ASSERT_EQ(list.empty(), model.empty());
  ASSERT_EQ(list.first(), model.empty() ? nullptr : model.front());
  ASSERT_EQ(list.last(), model.empty() ? nullptr : model.back());
  Item* item = list.first();
  for (Item* expected : model) {
    ASSERT_EQ(item, expected);
    item = item->next;
  }
  ASSERT_EQ(item, nullptr);
}

TEST(BaseList, keeps_the_order_of_a_model_through_random_operations) {
  std::vector<Item> items(12);
  List<Item> list;
  std::list<Item*> model;
  std::mt19937 random(3);
  for (int step = 0; step < 20000; ++step) {
    Item* const item = &items[random() % items.size()];
    bool const inside = std::find(model.begin(), model.end(), item) != model.end();
    if (inside) {
      list.remove(item);
      model.remove(item);
      ASSERT_TRUE(item->next == nullptr && item->prev == nullptr);
    } else if (random() % 2 == 0) {
      list.push_front(item);
      model.push_front(item);
    } else {
      list.push_back(item);
      model.push_back(item);
    }
    if (random() % 16 == 0) {
      Item* const popped = list.pop_front();
      ASSERT_EQ(popped, model.empty() ? nullptr : model.front());
      if (popped) model.pop_front();
    }
    ASSERT_NO_FATAL_FAILURE(expect_equal(list, model));
  }
}

TEST(BaseList, validate_notices_a_broken_link) {
  Item items[3];
  List<Item> list;
  for (Item& item : items) list.push_back(&item);
  items[2].prev = &items[0];
  EXPECT_FALSE(list.validate());
  items[2].prev = &items[1];
  items[1].next = nullptr;
  EXPECT_FALSE(list.validate());
}

}  // namespace
}  // namespace hakmem
