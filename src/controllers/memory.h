#pragma once
// memory: how much memory the processes of a group have now. It limits nothing and remembers little: a figure
// is a sample, taken when somebody asks, in a time that is bounded. What could not be seen is told apart, in
// `estimated` and `unread`.

#include <map>

#include "controllers/controller.h"

namespace gpcsup::controllers {

class Memory final : public Controller {
  public:
    explicit Memory(Host& host) : host_(host) {}
    [[nodiscard]] std::string_view name() const override { return "memory"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override;
    base::Result<> create(grouping::GroupId group, grouping::GroupId parent) override;
    void destroy(grouping::GroupId group) override { samples_.erase(group); }
    base::Result<> can_set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<Value> get(grouping::GroupId group, std::string_view attribute) override;

  private:
    struct Sample {
        Host::MemoryUse use;
        std::chrono::nanoseconds taken{};  // 0 = never
        std::uint64_t peak = 0;
    };
    const Sample& sample(grouping::GroupId group);

    Host& host_;
    std::map<grouping::GroupId, Sample> samples_;
    std::chrono::nanoseconds last_end_{};  // of the last look, whatever group it was at
};

}  // namespace gpcsup::controllers
