#pragma once
// A controller that holds groups, as one does to which something is charged that outlives its processes:
// "lodger" has lodgers in a group, and the group stays until they have left. What lodges where is on the
// machine, not in the journal: a successor finds it there.

#include <array>
#include <cerrno>
#include <map>

#include "controllers/controller.h"

namespace gpcsup::test {

inline std::map<grouping::GroupId, unsigned> lodgers;  // on the machine

inline constexpr std::array lodger_attributes{
    controllers::Attribute{"lodgers", controllers::AttributeType::count, controllers::Access::read_only, "",
                           "0", "Who lodges in the group"},
};

class Lodger final : public controllers::Controller {
  public:
    explicit Lodger(controllers::Host& host) : host_(host) {}
    [[nodiscard]] std::string_view name() const override { return "lodger"; }
    [[nodiscard]] std::span<const controllers::Attribute> attributes() const override {
        return lodger_attributes;
    }
    base::Result<> create(grouping::GroupId, grouping::GroupId) override { return {}; }
    void destroy(grouping::GroupId group) override { lodgers.erase(group); }
    void recover(grouping::GroupId group) override {
        if (lodgers.contains(group)) {
            host_.hold(group, name(), std::to_string(lodgers[group]) + " lodgers");
        }
    }
    base::Result<> can_set(grouping::GroupId, std::string_view, const controllers::Value&) override {
        return base::refuse(EACCES, "lodgers come and go by themselves");
    }
    base::Result<> set(grouping::GroupId group, std::string_view attribute,
                       const controllers::Value& value) override {
        return can_set(group, attribute, value);
    }
    base::Result<controllers::Value> get(grouping::GroupId group, std::string_view) override {
        return controllers::Value{std::uint64_t{lodgers.contains(group) ? lodgers[group] : 0}};
    }

  private:
    controllers::Host& host_;
};

inline const controllers::Registration lodger_registration(
    "lodger", lodger_attributes, [](controllers::Host& host) -> std::unique_ptr<controllers::Controller> {
        return std::make_unique<Lodger>(host);
    });

inline void lodgers_come(controllers::Host& host, grouping::GroupId group, unsigned count) {
    lodgers[group] = count;
    host.hold(group, "lodger", std::to_string(count) + " lodgers");
}

inline void lodgers_leave(controllers::Host& host, grouping::GroupId group) {
    lodgers.erase(group);
    host.drop_hold(group, "lodger");
}

inline void lodgers_leave_unseen(grouping::GroupId group) {
    lodgers.erase(group);
}

}  // namespace gpcsup::test
