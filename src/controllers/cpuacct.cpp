#include "controllers/cpuacct.h"

#include <cerrno>
#include <string>

namespace gpcsup::controllers {

namespace {

struct Row {
    Attribute attribute;
    std::uint64_t Host::CpuTime::*figure;
};

constexpr AttributeType type = AttributeType::nanoseconds;
constexpr Access access = Access::read_only;

constexpr Row rows[] = {
    {{"usage", type, access, "ns", "0", "CPU time used by the group and the groups below it"},
     &Host::CpuTime::usage_ns},
    {{"user", type, access, "ns", "0", "The part of usage spent in programs"}, &Host::CpuTime::user_ns},
    {{"system", type, access, "ns", "0", "The part of usage spent in the kernel"}, &Host::CpuTime::system_ns},
    {{"estimated", type, access, "ns", "0",
      "The part of usage that is sampled: of processes whose parent ignored their end"},
     &Host::CpuTime::estimated_ns},
};

constexpr auto table = [] {
    std::array<Attribute, std::size(rows)> attributes{rows[0].attribute, rows[1].attribute, rows[2].attribute,
                                                      rows[3].attribute};
    return attributes;
}();

const Registration registration("cpuacct", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Cpuacct>(host);
});

std::unexpected<base::Error> only_read(std::string_view attribute) {
    return base::refuse(EACCES, "cpuacct." + std::string(attribute) + " can only be read");
}

}  // namespace

std::span<const Attribute> Cpuacct::attributes() const {
    return table;
}

base::Result<> Cpuacct::create(grouping::GroupId, grouping::GroupId) {
    return {};
}

base::Result<> Cpuacct::can_set(grouping::GroupId, std::string_view attribute, const Value&) {
    return only_read(attribute);
}

base::Result<> Cpuacct::set(grouping::GroupId, std::string_view attribute, const Value&) {
    return only_read(attribute);
}

base::Result<Value> Cpuacct::get(grouping::GroupId group, std::string_view attribute) {
    for (const Row& row : rows) {
        if (row.attribute.name == attribute) {
            return Value{host_.cpu_time(group).*row.figure};
        }
    }
    return base::refuse(ENOENT, "there is no attribute cpuacct." + std::string(attribute));
}

}  // namespace gpcsup::controllers
