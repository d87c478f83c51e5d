#pragma once
// freezer: groups that stand still, as the kernel's first freezer had them. What is asked here is what
// `gpcsup freeze` and `thaw` ask, and the same flag of the group; the stopping is done by the host. This only
// makes a setting of it, so that it can stand in gpcsup.toml.

#include <set>

#include "controllers/controller.h"

namespace gpcsup::controllers {

class Freezer final : public Controller {
  public:
    explicit Freezer(Host& host) : host_(host) {}
    [[nodiscard]] std::string_view name() const override { return "freezer"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override;
    base::Result<> create(grouping::GroupId group, grouping::GroupId parent) override;
    void destroy(grouping::GroupId group) override;
    void recover(grouping::GroupId group) override;
    base::Result<> can_set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> restore(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<Value> get(grouping::GroupId group, std::string_view attribute) override;
    base::Result<Value> asked(grouping::GroupId group, std::string_view attribute) override;

  private:
    Host& host_;
    std::set<grouping::GroupId> to_recover_;  // were frozen by their setting when gpcsupd ended
};

}  // namespace gpcsup::controllers
