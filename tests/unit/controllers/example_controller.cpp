// A controller that lives outside src/ and is registered by being linked: "tally" counts the forks and exits
// in each group. docs/writing-a-controller.md walks through this file.

#include <array>
#include <map>
#include <string>

#include "controllers/controller.h"

namespace {

using namespace gpcsup;
using namespace gpcsup::controllers;
using grouping::GroupId;

constexpr std::array table{
    Attribute{"forks", AttributeType::count, Access::read_only, "forks", "0", "Forks seen in the group"},
    Attribute{"exits", AttributeType::count, Access::read_only, "exits", "0", "Exits seen in the group"},
    Attribute{"weight", AttributeType::count, Access::read_write, "", "1",
              "How much one fork counts, 1 to 100",
              [](const Value& value) -> base::Result<> {
                  const auto weight = std::get<std::uint64_t>(value);
                  if (weight < 1 || weight > 100) {
                      return base::refuse(EINVAL, "expected a number from 1 to 100");
                  }
                  return {};
              }},
};

class Tally final : public Controller {
  public:
    [[nodiscard]] std::string_view name() const override { return "tally"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override { return table; }

    base::Result<> create(GroupId group, GroupId parent) override {
        if (failing_ == group.value) {
            return base::refuse(ENOMEM, "tally has no room");
        }
        groups_[group].weight = parent.value != 0 ? groups_[parent].weight : 1;
        return {};
    }
    void destroy(GroupId group) override { groups_.erase(group); }

    base::Result<> can_set(GroupId, std::string_view, const Value&) override { return {}; }
    base::Result<> set(GroupId group, std::string_view, const Value& value) override {
        groups_[group].weight = std::get<std::uint64_t>(value);
        return groups_[group].weight == 13 ? base::refuse(EIO, "tally fears 13") : base::Result<>{};
    }
    base::Result<Value> get(GroupId group, std::string_view attribute) override {
        const State& state = groups_[group];
        return Value{attribute == "forks" ? state.forks : attribute == "exits" ? state.exits : state.weight};
    }

    void fork(const processes::Process&, processes::Process&, GroupId group) override {
        groups_[group].forks += groups_[group].weight;
    }
    void exit(const processes::Process&, GroupId group) override { ++groups_[group].exits; }

    static inline std::uint32_t failing_ = 0;  // create fails for this group: see dispatcher_test.cpp

  private:
    struct State {
        std::uint64_t forks = 0;
        std::uint64_t exits = 0;
        std::uint64_t weight = 1;
    };
    std::map<GroupId, State> groups_;
};

const Registration registration("tally", table, [](Host&) -> std::unique_ptr<Controller> {
    return std::make_unique<Tally>();
});

}  // namespace

namespace gpcsup::test {
void make_tally_fail_for(std::uint32_t group) {
    Tally::failing_ = group;
}
}  // namespace gpcsup::test
