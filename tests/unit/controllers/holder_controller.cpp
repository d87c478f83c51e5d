// A controller that holds groups, as one does to which something is charged that outlives its processes: "lodger"
// has lodgers in a group, and the group stays until they have left. What lodges where is on the machine, not
// in the journal: a successor finds it there.

#include <array>
#include <map>

#include "controllers/controller.h"
#include "controllers/holder_controller.h"

namespace gpcsup::test {

namespace {

using namespace gpcsup::controllers;
using grouping::GroupId;

std::map<GroupId, unsigned> machine;  // group → lodgers

constexpr std::array table{
    Attribute{"lodgers", AttributeType::count, Access::read_only, "", "0", "Who lodges in the group"},
};

class Lodger final : public Controller {
  public:
    explicit Lodger(Host& host) : host_(host) {}
    [[nodiscard]] std::string_view name() const override { return "lodger"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override { return table; }
    base::Result<> create(GroupId, GroupId) override { return {}; }
    void destroy(GroupId group) override { machine.erase(group); }
    void recover(GroupId group) override {
        if (machine.contains(group)) {
            host_.hold(group, name(), std::to_string(machine[group]) + " lodgers");
        }
    }
    base::Result<> can_set(GroupId, std::string_view, const Value&) override {
        return base::refuse(EACCES, "lodgers come and go by themselves");
    }
    base::Result<> set(GroupId group, std::string_view attribute, const Value& value) override {
        return can_set(group, attribute, value);
    }
    base::Result<Value> get(GroupId group, std::string_view) override {
        return Value{std::uint64_t{machine.contains(group) ? machine[group] : 0}};
    }

  private:
    Host& host_;
};

const Registration registration("lodger", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Lodger>(host);
});

}  // namespace

void lodgers_come(controllers::Host& host, grouping::GroupId group, unsigned count) {
    machine[group] = count;
    host.hold(group, "lodger", std::to_string(count) + " lodgers");
}

void lodgers_leave(controllers::Host& host, grouping::GroupId group) {
    machine.erase(group);
    host.drop_hold(group, "lodger");
}

void lodgers_leave_unseen(grouping::GroupId group) {
    machine.erase(group);
}

}  // namespace gpcsup::test
