use store_core::{Namespace, Role};

use crate::commands;

/// An ACL file for the server that serves `role`: the user `cache-app` or `state-app` for services, with the rights that preflight
/// asks for and no others; `admin` for operators; and the default user switched off. `namespace` is that of the state keys.
///
/// A password is a placeholder such as `#{admin}`, with which no server starts. `deploy/acl/fill.sh` replaces it with `#` and the
/// SHA-256 of the password, and removes the comments, which servers do not accept in an ACL file.
pub fn acl_file(role: Role, namespace: &Namespace) -> String {
    let (role, rules) = (role.name(), commands::rules(role, namespace, false));
    format!(
        "# Users of the server with the {role} role. Rendered by `cargo xtask acl {role}`: change the code, not this file.\n\
         # `sh deploy/acl/fill.sh deploy/acl/{role}.acl FOLDER` fills in the passwords.\n\
         \n\
         # Nobody logs in without a name.\n\
         user default off resetpass resetkeys resetchannels -@all\n\
         # Operators. No service uses it.\n\
         user admin on #{{admin}} ~* &* +@all\n\
         # Services: the keys and commands that the role needs, and no others.\n\
         user {role}-app on #{{{role}-app}} {rules}\n"
    )
}
