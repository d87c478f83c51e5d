#pragma once
// Users and groups as /etc/passwd and /etc/group have them: local files only, never NSS, which may ask a
// server and wait for it. Read when first needed and again when a file has changed. What is in neither file
// has no name here.

#include <sys/types.h>

#include <map>
#include <string>

#include "base/accounts.h"

namespace gpcsup::sys {

struct AccountFiles {
    std::string users = "/etc/passwd";
    std::string groups = "/etc/group";
};

class LocalAccounts final : public base::Accounts {
  public:
    explicit LocalAccounts(AccountFiles files = {}) : files_(std::move(files)) {}
    // Looks whether the files have changed and reads those that have: two stat calls when nothing has. A file
    // that cannot be read is an empty one. Call it before a round of questions.
    void refresh();

    [[nodiscard]] std::optional<std::uint32_t> user_number(std::string_view name) const override;
    [[nodiscard]] std::optional<std::uint32_t> group_number(std::string_view name) const override;
    [[nodiscard]] std::optional<std::string> user_name(std::uint32_t number) const override;
    [[nodiscard]] std::optional<std::string> group_name(std::uint32_t number) const override;
    [[nodiscard]] std::vector<std::uint32_t> groups_of(std::string_view user) const override;

    // The texts of the two files. The first line of a name or number counts, as with getpwnam(3).
    void read_users(std::string_view text);
    void read_groups(std::string_view text);

  private:
    struct User {
        std::uint32_t number = 0;
        std::uint32_t group = 0;
    };
    struct Group {
        std::uint32_t number = 0;
        std::string members;  // as written: "alice,bob"
    };
    struct Seen {  // what a file looked like when it was read
        dev_t device = 0;
        ino_t inode = 0;
        off_t size = -1;
        std::int64_t changed_ns = 0;
        bool operator==(const Seen&) const = default;
    };
    static Seen look(const std::string& path);

    AccountFiles files_;
    Seen users_seen_;
    Seen groups_seen_;
    std::map<std::string, User, std::less<>> users_;
    std::map<std::string, Group, std::less<>> groups_;
    std::map<std::uint32_t, std::string> user_names_;
    std::map<std::uint32_t, std::string> group_names_;
};

}  // namespace gpcsup::sys
