#pragma once
// cpuacct: what a group's processes have used of the CPUs, hierarchical, in nanoseconds. It only reads the
// books; the ledger that keeps them is in room processes. What it cannot know exactly is apart, in
// `estimated`.

#include "controllers/controller.h"

namespace gpcsup::controllers {

class Cpuacct final : public Controller {
  public:
    explicit Cpuacct(Host& host) : host_(host) {}
    [[nodiscard]] std::string_view name() const override { return "cpuacct"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override;
    base::Result<> create(grouping::GroupId group, grouping::GroupId parent) override;
    void destroy(grouping::GroupId group) override { static_cast<void>(group); }
    base::Result<> can_set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<Value> get(grouping::GroupId group, std::string_view attribute) override;

  private:
    Host& host_;
};

}  // namespace gpcsup::controllers
