#pragma once
// Names of users and groups, and their numbers: what is known of them without asking anybody who could keep
// us waiting (NSS, a directory server). Room sys reads the local files; tests have their own.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gpcsup::base {

class Accounts {
  public:
    virtual ~Accounts() = default;
    [[nodiscard]] virtual std::optional<std::uint32_t> user_number(std::string_view name) const = 0;
    [[nodiscard]] virtual std::optional<std::uint32_t> group_number(std::string_view name) const = 0;
    [[nodiscard]] virtual std::optional<std::string> user_name(std::uint32_t number) const = 0;
    [[nodiscard]] virtual std::optional<std::string> group_name(std::uint32_t number) const = 0;
    // The primary group of a user first, then those that list it as a member; empty when it is unknown.
    [[nodiscard]] virtual std::vector<std::uint32_t> groups_of(std::string_view user) const = 0;
};

}  // namespace gpcsup::base
